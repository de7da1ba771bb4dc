"""The frames of an instance dataset, decoded and resized once, for quick reading in any order.

A folder holds NAME.frame for each frame (see ``frames_file``). A stored frame carries a digest of
all that decides its pixels: the content of its image or video, its number, the sizes asked for. A frame whose
digest still fits is kept, so the work can be interrupted anywhere, and a source that was touched or moved but not
changed costs no more than hashing it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from goodfit.errors import DatasetError
from goodfit.preprocessing.frames_file import FrameHeader, read_frame, read_header

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

_ENDING = ".frame"


def target_size(height: int, width: int, min_size: int, max_size: int) -> tuple[int, int]:
    """Give the size a frame is stored at: torchvision's rule for detectors.

    The shorter side becomes ``min_size``, unless the longer one would then be above ``max_size``: that one becomes
    ``max_size``. The other side is rounded down. A smaller frame is enlarged to ``min_size``, and never beyond.
    (Whole-number arithmetic: torchvision's own, in floating point, is at times one pixel short.)

    Returns:
        Height and width, at least 1.
    """
    short, long = min(height, width), max(height, width)
    goal, side = (min_size, short) if long * min_size <= max_size * short else (max_size, long)
    return max(1, height * goal // side), max(1, width * goal // side)


def resize(image: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Resize a frame as the store does; prediction should do the same, since the network was trained on it.

    Bilinear; what gets smaller is averaged (antialiased).

    Args:
        image: (H, W, 3) uint8.
        size: height and width, see ``target_size``.

    Returns:
        An array of that size, or ``image`` itself where it has it already.
    """
    from PIL import Image

    if image.shape[:2] == size:
        return image
    return np.array(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR), dtype=np.uint8)


@dataclass(frozen=True)
class FrameStore:
    """Stored frames. Keeps nothing open, so it may be used by any process or thread and sent to others.

    Attributes:
        folder: where they are.
    """

    folder: Path

    def names(self) -> list[str]:
        """Names of the stored frames, sorted."""
        found = (path.name for path in self.folder.glob(f"*{_ENDING}"))
        return sorted(name.removesuffix(_ENDING) for name in found if not name.startswith(".writing-"))

    def get(self, name: str) -> npt.NDArray[np.uint8]:
        """Read a frame: (H, W, 3) uint8 RGB, as stored, an array of its own.

        Raises:
            DatasetError: it is not stored, or its file is damaged.
        """
        return read_frame(self.path(name))

    def size(self, name: str) -> tuple[int, int]:
        """Height and width of a stored frame, in pixels.

        Raises:
            DatasetError: it is not stored, or its file is damaged.
        """
        header = self._header(name)
        return header.height, header.width

    def scale(self, name: str) -> tuple[float, float]:
        """Stored pixels per pixel of the annotated frame, along x and y (they differ by rounding).

        Raises:
            DatasetError: it is not stored, or its file is damaged.
        """
        header = self._header(name)
        return header.width / header.original_width, header.height / header.original_height

    def path(self, name: str) -> Path:
        """Give the file of a frame."""
        return self.folder / f"{name}{_ENDING}"

    def _header(self, name: str) -> FrameHeader:
        header = read_header(self.path(name))
        if header is None:
            raise DatasetError(
                f"{self.path(name)}: this frame is not preprocessed, or its file is damaged. "
                "Run `goodfit preprocess` again."
            )
        return header
