"""Writing labels and probabilities with the geometry of the image they belong to."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.data.formats import LOSSY_ENDINGS, PHOTO_ENDINGS, ending_of, supported_endings
from goodfit.errors import ImageFileError
from goodfit.files import replacing

if TYPE_CHECKING:
    import numpy.typing as npt
    import SimpleITK

    from goodfit.data.geometry import Geometry


def write_label(file: Path, label: npt.NDArray[Any], geometry: Geometry) -> None:
    """Write a label file atomically, in the smallest unsigned type that holds its values.

    Args:
        file: the target; its ending chooses the format.
        label: (Z, Y, X) integers from 0 up; Z is 1 for 2D.
        geometry: of the image that the label belongs to.

    Raises:
        ImageFileError: the ending is unknown or lossy, or ITK cannot write the file.
    """
    import SimpleITK

    ending = (ending_of(file.name) or "").lower()
    if not ending or ending in LOSSY_ENDINGS:
        usable = ", ".join(known for known in supported_endings() if known not in LOSSY_ENDINGS)
        raise ImageFileError(f"{file}: labels cannot be written in this format. Choose one of {usable}.")
    if ending in PHOTO_ENDINGS and geometry.dims == 3:
        raise ImageFileError(f"{file}: {ending} holds one slice, not a volume. Choose a volume format such as .nii.gz.")
    low, high = (int(label.min()), int(label.max())) if label.size else (0, 0)
    if low < 0:
        raise ImageFileError(f"{file}: label values start at {low}; only values from 0 up can be written.")
    values = np.ascontiguousarray(label, dtype=np.min_scalar_type(high))
    image = SimpleITK.GetImageFromArray(values[0] if geometry.dims == 2 else values)
    image.SetSpacing([float(value) for value in geometry.spacing[3 - geometry.dims :][::-1]])
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    try:
        if ending == ".mhd":
            _write_pair(file, image)
            return
        with replacing(file) as temporary:
            SimpleITK.WriteImage(image, str(temporary), useCompression=True)
    except RuntimeError as error:
        raise ImageFileError(f"{file}: could not be written as {ending}. Choose another format.") from error


def _write_pair(file: Path, image: SimpleITK.Image) -> None:
    """Write .mhd with its data file: first the data, then the header that names it."""
    import SimpleITK

    file.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".writing-", dir=file.parent))
    try:
        SimpleITK.WriteImage(image, str(folder / file.name), useCompression=True)
        parts = sorted(folder.iterdir(), key=lambda part: part.name == file.name)
        for part in parts:
            part.replace(file.parent / part.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_probabilities(file: Path, probabilities: npt.NDArray[Any], *, half: bool = True) -> None:
    """Write class probabilities atomically as .npz under the key "probabilities" (nnU-Net's name).

    Args:
        file: the target, ending in .npz.
        probabilities: (C, Z, Y, X) between 0 and 1.
        half: store float16 instead of float32.
    """
    with replacing(file) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, probabilities=probabilities.astype(np.float16 if half else np.float32))
