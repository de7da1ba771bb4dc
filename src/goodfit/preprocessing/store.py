"""Preprocessed cases on disk, in nnU-Net's own layout, read patch by patch through memory mapping.

A data folder holds CASE.b2nd (image), CASE_seg.b2nd (label) and CASE.pkl (written for nnU-Net, never read
here). nnU-Net refuses other kinds of files beside these, so ours are in a folder of their own:
goodfit/cases/CASE.npz (locations) and goodfit/cases/CASE.json (properties). The last is written last: a case
without it is not there.
"""

from __future__ import annotations

import math
import os
import pickle
import shutil
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.errors import DatasetError
from goodfit.files import read_json, replacing, write_bytes, write_json
from goodfit.preprocessing.nnunet import case_properties
from goodfit.preprocessing.properties import CaseProperties

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import blosc2
    import numpy.typing as npt

    from goodfit.data.labels import Labels
    from goodfit.preprocessing.locations import Locations

BLOCK_BYTES = 128 * 1024
"""Largest block, the unit of decompression (nnU-Net 2.8: 128 KiB, to fit a core's cache)."""

CHUNK_BYTES = 6 * 1024**2
"""Largest chunk, the unit of writing (nnU-Net 2.8: 6 MiB)."""

CHUNK_TO_PATCH = 1.5
"""Longest side of a chunk as a multiple of the patch (nnU-Net 2.8)."""

OURS = "goodfit"


@dataclass(frozen=True)
class StoredCase:
    """One preprocessed case; everything is opened when first asked for and kept by this object.

    Attributes:
        folder: the data folder.
        name: of the case.
    """

    folder: Path
    name: str

    @cached_property
    def image(self) -> blosc2.NDArray:
        """(C, Z, Y, X) float32; indexing it decompresses just that part."""
        return open_array(self.folder / f"{self.name}.b2nd")

    @cached_property
    def label(self) -> blosc2.NDArray:
        """(1, Z, Y, X) signed integers; -1 is background outside the nonzero mask."""
        return open_array(self.folder / f"{self.name}_seg.b2nd")

    @cached_property
    def properties(self) -> CaseProperties:
        """Geometry and shapes."""
        return CaseProperties.from_dict(read_json(marker_path(self.folder, self.name), DatasetError)["properties"])

    @cached_property
    def locations(self) -> Locations:
        """Voxels of each class, (n, 3) int32; see ``find_locations`` for the keys."""
        with np.load(_locations_path(self.folder, self.name)) as file:
            return {int(key): file[key] for key in file.files}


@dataclass(frozen=True)
class Store:
    """The preprocessed cases of one configuration.

    Attributes:
        folder: the data folder.
    """

    folder: Path

    def names(self) -> list[str]:
        """Names of the finished cases, sorted."""
        markers = (self.folder / OURS / "cases").glob("*.json")
        return sorted(path.name.removesuffix(".json") for path in markers if not path.name.startswith("."))

    def case(self, name: str) -> StoredCase:
        """Give a case.

        Raises:
            DatasetError: the store does not hold it.
        """
        if not marker_path(self.folder, name).is_file():
            raise DatasetError(f"{self.folder}: case {name} is not preprocessed. Run `goodfit preprocess` again.")
        return StoredCase(self.folder, name)

    def is_complete(self, name: str) -> bool:
        """Whether the case was written to its end and its files are as long as they were then."""
        marker = marker_path(self.folder, name)
        if not marker.is_file():
            return False
        sizes = read_json(marker, DatasetError)["bytes"]
        return all(path.is_file() and path.stat().st_size == sizes[path.name] for path in _files(self.folder, name))


def write_case(
    folder: Path,
    name: str,
    image: npt.NDArray[np.float32],
    label: npt.NDArray[Any],
    *,
    properties: CaseProperties,
    locations: Locations,
    labels: Labels,
    patch_size: Sequence[int],
) -> None:
    """Write one case; it counts as there only once all of it is.

    Args:
        folder: the data folder.
        name: of the case.
        image: (C, Z, Y, X) float32.
        label: (1, Z, Y, X) signed integers.
        properties: what was done to it.
        locations: from ``find_locations``.
        labels: the classes, for nnU-Net's naming of the locations.
        patch_size: two or three sides; the blocks are cut to suit it.

    Raises:
        ResourceError: the disk is full; the case is then not there.
    """
    image_path, label_path, pickle_path, locations_path = _files(folder, name)
    marker_path(folder, name).unlink(missing_ok=True)
    write_array(image_path, image, patch_size, shuffle=properties.resampled)
    write_array(label_path, label, patch_size, shuffle=False)
    write_bytes(pickle_path, pickle.dumps(case_properties(properties, locations, labels)))
    with replacing(locations_path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **{str(key): found for key, found in locations.items()})
    _write_marker(folder, name, properties)


def link_case(source: Path, folder: Path, name: str, properties: CaseProperties) -> None:
    """Let a second data folder have the same arrays: hard links where the file system has them, else copies."""
    marker_path(folder, name).unlink(missing_ok=True)
    for old, new in zip(_files(source, name), _files(folder, name), strict=True):
        new.parent.mkdir(parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        try:
            os.link(old, new)
        except OSError:
            with replacing(new) as temporary:
                shutil.copyfile(old, temporary)
    _write_marker(folder, name, properties)


def chunk_shapes(
    shape: Sequence[int], patch_size: Sequence[int], itemsize: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Choose chunks and blocks such that reading a patch decompresses little beside it.

    Args:
        shape: (C, Z, Y, X).
        patch_size: two sides (one slice is read) or three.
        itemsize: bytes per voxel.

    Returns:
        Chunk and block, both (1, z, y, x).
    """
    patch = (1,) * (3 - len(patch_size)) + tuple(patch_size)
    chunk = [
        min(length, math.floor(CHUNK_TO_PATCH * side)) if side > 1 else length
        for length, side in zip(shape[1:], patch, strict=True)
    ]
    chunk = _shrink(chunk, patch, CHUNK_BYTES // itemsize)
    block = _shrink(
        [min(length, 1 << (side - 1).bit_length()) for length, side in zip(chunk, patch, strict=True)],
        patch,
        BLOCK_BYTES // itemsize,
    )
    return (1, *chunk), (1, *block)


def marker_path(folder: Path, name: str) -> Path:
    """Path of the file whose presence says that a case is finished."""
    return folder / OURS / "cases" / f"{name}.json"


def _locations_path(folder: Path, name: str) -> Path:
    return folder / OURS / "cases" / f"{name}.npz"


def _files(folder: Path, name: str) -> tuple[Path, Path, Path, Path]:
    return (
        folder / f"{name}.b2nd",
        folder / f"{name}_seg.b2nd",
        folder / f"{name}.pkl",
        _locations_path(folder, name),
    )


def _write_marker(folder: Path, name: str, properties: CaseProperties) -> None:
    sizes = {path.name: path.stat().st_size for path in _files(folder, name)}
    write_json(marker_path(folder, name), {"properties": properties.to_dict(), "bytes": sizes})


def _shrink(sides: list[int], patch: Sequence[int], most_voxels: int) -> list[int]:
    """Halve the side that is longest against the patch until the box holds few enough voxels."""
    sides = [max(1, side) for side in sides]
    while math.prod(sides) > most_voxels:
        longest = max((axis for axis in range(3) if sides[axis] > 1), key=lambda axis: sides[axis] / patch[axis])
        sides[longest] = -(-sides[longest] // 2)
    return sides


def write_array(path: Path, array: npt.NDArray[Any], patch_size: Sequence[int], *, shuffle: bool) -> None:
    """Write an array (C, Z, Y, X) atomically, in blocks that suit the patch.

    Args:
        path: the file, CASE.b2nd.
        array: of any number type.
        patch_size: two or three sides.
        shuffle: put bytes of equal significance together, which suits floating point values that do not repeat.
    """
    import blosc2

    chunks, blocks = chunk_shapes(array.shape, patch_size, array.itemsize)
    # Measured on MRI and CT: zstd at level 1 is as small as nnU-Net's LZ4HC at 5 and four to eight times as fast
    # to write. Intensities that were not resampled repeat, and repeats are found without shuffling the bytes.
    settings = {
        "codec": blosc2.Codec.ZSTD,
        "clevel": 1,
        "nthreads": 1,
        "filters": [blosc2.Filter.SHUFFLE if shuffle else blosc2.Filter.NOFILTER],
    }
    # Built in memory and written at once: appending chunk by chunk to a file takes several times as long.
    packed = blosc2.asarray(
        np.ascontiguousarray(array), chunks=chunks, blocks=blocks, cparams=settings, contiguous=True
    )
    write_bytes(path, packed.to_cframe())


def open_array(path: Path) -> blosc2.NDArray:
    """Open an array for reading; indexing it decompresses just that part.

    Raises:
        DatasetError: there is no such file.
    """
    import blosc2

    if not path.is_file():
        raise DatasetError(f"{path}: there is no such file. Run `goodfit preprocess` again.")
    # nnU-Net: blosc2 cannot map files on Windows.
    mapping = {} if os.name == "nt" else {"mmap_mode": "r"}
    return blosc2.open(str(path), mode="r", dparams={"nthreads": 1}, **mapping)
