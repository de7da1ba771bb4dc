"""Reading image files as 8-bit RGB, upright as people saw them when they annotated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.errors import ImageFileError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt
    from PIL.Image import Image

_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)


def picture_size(path: Path) -> tuple[int, int]:
    """Read height and width from the header, as ``read_picture`` gives them.

    Raises:
        ImageFileError: the file is missing or is no image.
    """
    with _opened(path) as image:
        width, height = image.size
        return (width, height) if image.getexif().get(_ORIENTATION) in _SIDEWAYS else (height, width)


def read_picture(path: Path, height: int | None = None, width: int | None = None) -> npt.NDArray[np.uint8]:
    """Read an image.

    The camera's orientation (EXIF) is applied, as browsers and annotation tools do, unless only the image as it is
    stored has the size that the annotations tell. Transparency is dropped, the first image of several is taken, and
    16-bit and float images are stretched from their smallest to their largest value.

    Args:
        path: PNG, JPEG, BMP, TIFF, WebP or what else Pillow reads.
        height: as the annotations tell.
        width: as the annotations tell.

    Returns:
        (H, W, 3), whatever size the file has.

    Raises:
        ImageFileError: the file is missing, damaged, truncated or is no image.
    """
    from PIL import ImageOps

    with _opened(path) as image:
        try:
            image.load()
            upright = ImageOps.exif_transpose(image)
            if (width, height) == image.size != upright.size:
                upright = image
            return _as_rgb(upright)
        except (OSError, SyntaxError, ValueError) as error:
            # Pillow reports damage as any of the three.
            raise ImageFileError(f"{path}: damaged or truncated ({error}). Copy it anew from its source.") from error


def _opened(path: Path) -> Image:
    from PIL import Image

    try:
        return Image.open(path)
    except FileNotFoundError as error:
        raise ImageFileError(f"{path}: there is no such file.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageFileError(f"{path}: no image that can be read ({error}). Copy it anew from its source.") from error


def _as_rgb(image: Image) -> npt.NDArray[np.uint8]:
    if image.mode.startswith(("I", "F")):
        return _stretched(np.asarray(image))
    if image.mode == "P":
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))


def _stretched(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    finite = np.where(np.isfinite(values), values, 0).astype(np.float64)
    low, high = float(finite.min()), float(finite.max())
    grey = np.rint((finite - low) * (255 / (high - low or 1))).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)
