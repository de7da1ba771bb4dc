"""Reading images and labels of every supported format into arrays ordered (z, y, x)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.data.formats import (
    LOSSY_ENDINGS,
    NIFTI_ENDINGS,
    PHOTO_ENDINGS,
    TIFF_ENDINGS,
    ending_of,
    stem_of,
    supported_endings,
)
from goodfit.data.geometry import FLAT_SPACING, Geometry, Image
from goodfit.data.nifti import read_nifti
from goodfit.data.photos import require_whole_photo
from goodfit.data.tiff import require_whole_tiff
from goodfit.data.writers import write_label, write_probabilities
from goodfit.errors import DatasetError, ImageFileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = [
    "Geometry",
    "Image",
    "read_channels",
    "read_image",
    "read_label",
    "supported_endings",
    "write_label",
    "write_probabilities",
]


def read_image(files: Sequence[Path], channels: int | None = None) -> Image:
    """Read the channels of one case.

    Several files hold one channel each. A single file may hold several (RGB, vector images); its alpha channel
    is dropped where it is constant or where ``channels`` leaves no room for it, and a grey image stored as RGB
    gives one channel unless three are expected.

    Args:
        files: one file per channel in channel order, or one file with all channels.
        channels: how many channels there must be; None takes what the files hold.

    Returns:
        The image, (C, Z, Y, X) float32, with the geometry of the first file.

    Raises:
        ImageFileError: a file is missing, damaged or of an unsupported kind.
        DatasetError: the number of channels is wrong, or the files differ in shape.
    """
    array, geometries = read_channels(files, channels)
    return Image(array, geometries[0])


def read_channels(
    files: Sequence[Path], channels: int | None = None
) -> tuple[npt.NDArray[np.float32], tuple[Geometry, ...]]:
    """Do as ``read_image`` does, and give the geometry of every file.

    Raises:
        ImageFileError: a file is missing, damaged or of an unsupported kind.
        DatasetError: the number of channels is wrong, or the files differ in shape.
    """
    if not files:
        raise DatasetError("a case without image files cannot be read.")
    first, geometry = _read(files[0])
    if len(files) == 1:
        return np.require(_pick_channels(first, channels, files[0]), np.float32, ["C", "W"]), (geometry,)
    if channels is not None and len(files) != channels:
        raise DatasetError(
            f"{files[0]}: {len(files)} channel files where {channels} are expected. "
            "Make channel_names in dataset.json and the image files agree."
        )
    stacked = np.empty((len(files), *first.shape[1:]), dtype=np.float32)
    geometries = []
    for index, file in enumerate(files):
        array, geometry = (first, geometry) if index == 0 else _read(file)
        array = _pick_channels(array, 1, file)
        if array.shape[1:] != stacked.shape[1:]:
            raise DatasetError(
                f"{file}: shape {_shape(array)} differs from {_shape(stacked)} of {files[0].name}. "
                "Resample the channels of a case to one grid."
            )
        stacked[index] = array[0]
        geometries.append(geometry)
    return stacked, tuple(geometries)


def read_label(file: Path) -> tuple[npt.NDArray[np.int16] | npt.NDArray[np.int32], Geometry]:
    """Read a label file.

    Returns:
        The label values, (Z, Y, X), int16 where they fit and int32 otherwise, and the geometry.

    Raises:
        ImageFileError: the file is missing, damaged, lossy (JPEG), in colour, or holds what is no integer.
    """
    ending = ending_of(file.name)
    if ending is not None and ending.lower() in LOSSY_ENDINGS:
        raise ImageFileError(f"{file}: JPEG is lossy and alters label values. Store labels as PNG, TIFF or NIfTI.")
    array, geometry = _read(file)
    if array.shape[0] > 1:
        array = array[:1] if _all_equal(_drop_constant_alpha(array)) else array
    if array.shape[0] != 1:
        raise ImageFileError(
            f"{file}: a label file holds one number per voxel, this one {array.shape[0]} (colours or a palette?). "
            "Store class numbers as a grey image."
        )
    return _as_integers(array[0], file), geometry


def _as_integers(array: Array, file: Path) -> npt.NDArray[np.int16] | npt.NDArray[np.int32]:
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    if not np.issubdtype(array.dtype, np.integer):
        rounded = np.rint(array)
        wrong = ~np.isclose(array, rounded, rtol=0, atol=1e-4) | np.isinf(array)
        if wrong.any():
            example = array[wrong][0]
            raise ImageFileError(
                f"{file}: {int(wrong.sum())} voxels hold no integer, for example {example:.6g}. Labels are class "
                "numbers: resample them with nearest neighbour and save them as integers."
            )
        array = rounded
    if array.dtype in (np.uint8, np.int8, np.int16):
        return array.astype(np.int16)
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    if low < np.iinfo(np.int32).min or high > np.iinfo(np.int32).max:
        raise ImageFileError(f"{file}: label values reach from {low:.6g} to {high:.6g}, more than 32 bits hold.")
    if np.iinfo(np.int16).min <= low and high <= np.iinfo(np.int16).max:
        return array.astype(np.int16)
    return array.astype(np.int32)


def _read(file: Path) -> tuple[Array, Geometry]:
    """Read one file as (C, Z, Y, X) in the file's own number type."""
    ending = ending_of(file.name)
    if ending is None:
        raise ImageFileError(f"{file}: not a supported image format. Supported are {', '.join(supported_endings())}.")
    if not file.is_file():
        raise ImageFileError(f"{file}: there is no such file.")
    if file.stat().st_size == 0:
        raise ImageFileError(f"{file}: the file is empty. Copy it anew from its source.")
    kind = ending.lower()
    if kind in NIFTI_ENDINGS and (content := read_nifti(file)) is not None:
        return content.array, content.geometry or _itk(file)[1]
    if kind in TIFF_ENDINGS:
        require_whole_tiff(file)
    if kind in PHOTO_ENDINGS:
        require_whole_photo(file)
    array, geometry = _itk(file)
    if kind in PHOTO_ENDINGS or (kind in TIFF_ENDINGS and geometry.dims == 2):
        # Resolution tags of photographs are no physical size (nnU-Net: NaturalImage2DIO gives spacing 1).
        geometry = Geometry((FLAT_SPACING, 1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0), 2)
    elif kind in TIFF_ENDINGS:
        spacing = _tiff_spacing(file)
        geometry = Geometry(spacing, (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), 3)
    return array, geometry


def _itk(file: Path) -> tuple[Array, Geometry]:
    # SimpleITK takes a third of a second to import, and plain NIfTI files do without it.
    from goodfit.data.itk import read_with_itk

    return read_with_itk(file)


def _tiff_spacing(file: Path) -> tuple[float, float, float]:
    """Spacing of a 3D TIFF from CASE.json beside it, else 1 mm (nnU-Net: Tiff3DIO)."""
    stem = stem_of(file.name)
    for name in (stem, stem[:-5] if stem[-5:-4] == "_" and stem[-4:].isdigit() else stem):
        beside = file.with_name(f"{name}.json")
        if beside.is_file():
            try:
                z, y, x = (float(value) for value in json.loads(beside.read_text(encoding="utf-8"))["spacing"])
            except (KeyError, TypeError, ValueError) as error:
                raise ImageFileError(f'{beside}: should hold {{"spacing": [z, y, x]}} in mm.') from error
            return z, y, x
    return 1.0, 1.0, 1.0


def _pick_channels(array: Array, channels: int | None, file: Path) -> Array:
    found = array.shape[0]
    if found in (2, 4) and found != channels:
        array = _drop_constant_alpha(array) if channels is None else array[: found - 1]
    if array.shape[0] == channels:
        return array
    if channels in (None, 1) and array.shape[0] == 3 and _all_equal(array):
        return array[:1]
    if channels is None:
        return array
    way_out = "Make channel_names in dataset.json and the image files agree."
    if found == 1:
        way_out = "Add a file for each further channel (CASE_0001, ...), or mend channel_names in dataset.json."
    raise DatasetError(
        f"{file}: holds {found} channel{'s' * (found > 1)} where {channels} {'is' if channels == 1 else 'are'} "
        f"expected. {way_out}"
    )


def _drop_constant_alpha(array: Array) -> Array:
    last = array[-1]
    return array[:-1] if array.shape[0] in (2, 4) and bool((last == last.flat[0]).all()) else array


def _all_equal(array: Array) -> bool:
    return all(np.array_equal(array[0], channel) for channel in array[1:])


def _shape(array: Array) -> str:
    return "x".join(str(size) for size in array.shape[1:])
