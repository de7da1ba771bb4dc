"""NIfTI-1 files: whole or refused.

ITK reads a truncated or bit-flipped .nii.gz without a word and fills the rest with noise. Here the compressed
stream is checked to its end (length and CRC), and the voxels are taken from the same bytes, so that the check
costs no second pass. What is out of the ordinary (NIfTI-2, disagreeing affines) is left to ITK.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.data.geometry import Geometry
from goodfit.errors import ImageFileError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    Array = npt.NDArray[Any]

_HEADER_BYTES = 348
# datatype code -> numpy kind and size, number of interleaved components (nifti1.h).
_TYPES: dict[int, tuple[str, int]] = {
    2: ("u1", 1),
    4: ("i2", 1),
    8: ("i4", 1),
    16: ("f4", 1),
    64: ("f8", 1),
    128: ("u1", 3),
    256: ("i1", 1),
    512: ("u2", 1),
    768: ("u4", 1),
    1024: ("i8", 1),
    1280: ("u8", 1),
    2304: ("u1", 4),
}
_DAMAGED = "the file is damaged. Copy it anew from its source, or export it again."
_TRUNCATED = "the file is truncated. Copy it anew from its source, or export it again."


@dataclass(frozen=True)
class NiftiContent:
    """What a NIfTI file holds.

    Attributes:
        array: (C, Z, Y, X) in the number type of the file, scaled where the header says so; read-only.
        geometry: None where it takes ITK to tell.
    """

    array: Array
    geometry: Geometry | None


def read_nifti(file: Path) -> NiftiContent | None:
    """Read a .nii or .nii.gz file whole.

    Returns:
        The voxels and the geometry, or None where the file is intact but of a kind that is left to ITK.

    Raises:
        ImageFileError: the file is truncated, damaged, no NIfTI file or has a time axis.
    """
    content = _decompressed(file)
    if len(content) < _HEADER_BYTES:
        raise ImageFileError(f"{file}: {_TRUNCATED}")
    order = next((mark for mark in "<>" if struct.unpack_from(f"{mark}i", content)[0] == _HEADER_BYTES), None)
    if order is None or content[344:348] != b"n+1\0":
        return None
    dim = struct.unpack_from(f"{order}8h", content, 40)
    kind, components = _TYPES.get(struct.unpack_from(f"{order}h", content, 70)[0], (None, 1))
    if kind is None or not 1 <= dim[0] <= 7:
        return None
    sizes = [max(1, size) for size in dim[1 : dim[0] + 1]] + [1] * (7 - dim[0])
    if sizes[3] > 1 or sizes[5] > 1 or sizes[6] > 1:
        shape = "x".join(str(size) for size in dim[1 : dim[0] + 1])
        raise ImageFileError(
            f"{file}: {dim[0]}D image of {shape} voxels. Save one 3D file per channel (CASE_0000, CASE_0001, ...) "
            "or per time point."
        )
    x, y, z, vectors = sizes[0], sizes[1], sizes[2], sizes[4]
    offset, slope, shift = (int(struct.unpack_from(f"{order}f", content, 108)[0]), *_scale(content, order))
    dtype = np.dtype(order + kind)
    count = x * y * z * vectors * components
    if len(content) < offset + count * dtype.itemsize:
        raise ImageFileError(f"{file}: {_TRUNCATED}")
    voxels = np.frombuffer(content, dtype=dtype, count=count, offset=offset)
    array: Array = voxels.reshape(vectors, z, y, x, components)
    array = array[..., 0] if components == 1 else np.moveaxis(array[0], -1, 0)
    if slope not in (0.0, 1.0) or (shift != 0.0 and slope != 0.0):
        values: npt.NDArray[np.floating[Any]] = array.astype(np.float64 if dtype.itemsize > 4 else np.float32)
        array = values * slope + shift
    elif order == ">":
        array = array.astype(dtype.newbyteorder("="))
    return NiftiContent(array, _geometry(content, order) if dim[0] == 3 else None)


def require_whole_nifti(file: Path) -> None:
    """Check that a NIfTI-1 file of any number of axes is there to its last byte; other kinds are passed over.

    Raises:
        ImageFileError: the file is truncated or damaged.
    """
    content = _decompressed(file)
    if len(content) < _HEADER_BYTES:
        raise ImageFileError(f"{file}: {_TRUNCATED}")
    order = next((mark for mark in "<>" if struct.unpack_from(f"{mark}i", content)[0] == _HEADER_BYTES), None)
    if order is None or content[344:348] != b"n+1\0":
        return
    dim = struct.unpack_from(f"{order}8h", content, 40)
    bits = struct.unpack_from(f"{order}h", content, 72)[0]
    offset = int(struct.unpack_from(f"{order}f", content, 108)[0])
    voxels = math.prod(max(1, size) for size in dim[1 : dim[0] + 1])
    if len(content) < offset + voxels * bits // 8:
        raise ImageFileError(f"{file}: {_TRUNCATED}")


def _decompressed(file: Path) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ImageFileError(f"{file}: cannot be read ({error.strerror}).") from error
    if content[:2] != b"\x1f\x8b":
        return content
    parts = []
    while content[:2] == b"\x1f\x8b":
        stream = zlib.decompressobj(wbits=31)
        try:
            parts.append(stream.decompress(content))
        except zlib.error as error:
            raise ImageFileError(f"{file}: {_DAMAGED}") from error
        if not stream.eof:
            raise ImageFileError(f"{file}: {_TRUNCATED}")
        content = stream.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _scale(content: bytes, order: str) -> tuple[float, float]:
    slope, shift = struct.unpack_from(f"{order}2f", content, 112)
    return (slope, shift) if np.isfinite(slope) and np.isfinite(shift) else (1.0, 0.0)


def _geometry(content: bytes, order: str) -> Geometry | None:
    """Spacing, origin and direction as ITK gives them, or None where qform and sform do not settle it plainly."""
    qform, sform = struct.unpack_from(f"{order}2h", content, 252)
    candidates = []
    if sform > 0:
        candidates.append(np.array(struct.unpack_from(f"{order}12f", content, 280)).reshape(3, 4))
    if qform > 0:
        candidates.append(_quaternion_affine(content, order))
    if not candidates or not all(np.isfinite(affine).all() for affine in candidates):
        return None
    affine = candidates[0]
    spacing = np.linalg.norm(affine[:, :3], axis=0)
    if spacing.min() <= 0 or (len(candidates) > 1 and not _agree(candidates[0], candidates[1], spacing.min())):
        return None
    direction = affine[:, :3] / spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > 1e-5:
        return None
    # NIfTI's x and y point right and forward, ITK's left and backward. Adding 0.0 turns -0.0 into 0.0.
    flip = np.array([-1.0, -1.0, 1.0])
    direction = direction * flip[:, None] + 0.0
    origin = affine[:, 3] * flip + 0.0
    return Geometry(
        spacing=(float(spacing[2]), float(spacing[1]), float(spacing[0])),
        origin=tuple(origin.tolist()),
        direction=tuple(direction.ravel().tolist()),
        dims=3,
    )


def _agree(first: Array, second: Array, voxel: float) -> bool:
    return bool(
        np.abs(first[:, :3] - second[:, :3]).max() < 1e-4 * voxel
        and np.abs(first[:, 3] - second[:, 3]).max() < 1e-3 * voxel
    )


def _quaternion_affine(content: bytes, order: str) -> Array:
    """The affine of the qform, (3, 4) (nifti1.h: method 2)."""
    pixdim = struct.unpack_from(f"{order}4f", content, 76)
    b, c, d, *origin = struct.unpack_from(f"{order}6f", content, 256)
    square = b * b + c * c + d * d
    if 1.0 - square < 1e-7:  # half a turn: a is rounding only
        b, c, d = (value / np.sqrt(square) for value in (b, c, d))
    a = np.sqrt(max(0.0, 1.0 - square)) if 1.0 - square >= 1e-7 else 0.0
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )
    sizes = np.array(pixdim[1:4])
    sizes[2] *= -1.0 if pixdim[0] < 0 else 1.0
    return np.column_stack([rotation * sizes, origin])
