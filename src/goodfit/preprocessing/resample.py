"""Resampling to another spacing, with nnU-Net's results at a fraction of its time.

Spline interpolation on a regular grid is separable: along each axis it is a product with a matrix that depends
on the two lengths only. The cubic matrix is read off scipy's own zoom, which skimage.transform.resize (and so
nnU-Net) calls; the products run in float32 BLAS. Where the voxels are much longer along one axis than along
the others, that axis is resampled by itself with the nearest neighbour (nnU-Net: separate z).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.preprocessing.grid import axis_matrix, nearest_indices
from goodfit.preprocessing.vote import vote

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import torch

    Volume = npt.NDArray[np.float32]

__all__ = [
    "axis_matrix",
    "nearest_indices",
    "new_shape",
    "resample_image",
    "resample_label",
    "resample_logits",
    "separate_axis",
]

ANISOTROPY_THRESHOLD = 3.0
"""Largest spacing over smallest spacing above which an axis is resampled by itself (nnU-Net: ANISO_THRESHOLD)."""


def new_shape(shape: Sequence[int], spacing_from: Sequence[float], spacing_to: Sequence[float]) -> tuple[int, int, int]:
    """Give the shape that covers the same space at another spacing (nnU-Net: compute_new_shape).

    An axis never becomes shorter than one voxel.
    """
    z, y, x = (
        max(1, round(old / new * length)) for old, new, length in zip(spacing_from, spacing_to, shape, strict=True)
    )
    return (z, y, x)


def separate_axis(spacing_from: Sequence[float], spacing_to: Sequence[float]) -> int | None:
    """Name the axis that is resampled by itself, or None (nnU-Net: determine_do_sep_z_and_axis).

    The current spacing decides if it is anisotropic, else the target. With two equally long axes there is none.
    """
    for spacing in (spacing_from, spacing_to):
        largest = max(spacing)
        if largest / min(spacing) > ANISOTROPY_THRESHOLD:
            longest = [axis for axis, length in enumerate(spacing) if length == largest]
            return longest[0] if len(longest) == 1 else None
    return None


def resample_image(
    array: npt.NDArray[np.float32],
    shape: tuple[int, int, int],
    spacing_from: Sequence[float],
    spacing_to: Sequence[float],
) -> npt.NDArray[np.float32]:
    """Resample by cubic splines, clipped to the range of the input (per slice where an axis is separate).

    Args:
        array: (C, Z, Y, X) float32.
        shape: the three lengths to reach; see ``new_shape``.
        spacing_from: mm per voxel now; decides with ``spacing_to`` whether an axis is separate.
        spacing_to: mm per voxel wanted.

    Returns:
        (C, *shape) float32; ``array`` itself where the shape does not change.
    """
    if array.shape[1:] == shape:
        return array
    axis = separate_axis(spacing_from, spacing_to)
    result = np.empty((len(array), *shape), dtype=np.float32)
    for channel, target in zip(array, result, strict=True):
        target[...] = _cubic(channel, shape, axis)
    return result


def resample_label(
    array: npt.NDArray[Any],
    shape: tuple[int, int, int],
    spacing_from: Sequence[float],
    spacing_to: Sequence[float],
) -> npt.NDArray[Any]:
    """Resample a label map so that each voxel gets the label with the largest linearly interpolated share.

    Args:
        array: (1, Z, Y, X) of a signed integer type.
        shape: the three lengths to reach.
        spacing_from: mm per voxel now.
        spacing_to: mm per voxel wanted.

    Returns:
        (1, *shape) of the same type; ``array`` itself where the shape does not change.
    """
    if array.shape[1:] == shape:
        return array
    axis = separate_axis(spacing_from, spacing_to)
    label = array[0]
    if axis is None:
        return vote(label, shape)[None]
    indices = nearest_indices(label.shape[axis], shape[axis])
    downwards = len(indices) < label.shape[axis]
    if downwards:
        label = label.take(indices, axis=axis)
    in_plane = tuple(label.shape[axis] if number == axis else length for number, length in enumerate(shape))
    label = vote(label, in_plane)
    return (label if downwards else label.take(indices, axis=axis))[None]


def resample_logits(
    logits: torch.Tensor,
    shape: tuple[int, int, int],
    spacing_from: Sequence[float],
    spacing_to: Sequence[float],
) -> torch.Tensor:
    """Resample network outputs linearly, a separate axis by the nearest neighbour.

    Args:
        logits: (K, Z, Y, X) floating point, on any device.
        shape: the three lengths to reach.
        spacing_from: mm per voxel of ``logits``.
        spacing_to: mm per voxel wanted.

    Returns:
        (K, *shape) of the same type and device; ``logits`` itself where the shape does not change.
    """
    if tuple(logits.shape[1:]) == shape:
        return logits
    import torch
    from torch.nn.functional import interpolate

    axis = separate_axis(spacing_from, spacing_to)
    if axis is None:
        return interpolate(logits[None], size=list(shape), mode="trilinear", align_corners=False)[0]
    slices = logits.movedim(axis + 1, 0)
    in_plane = [length for number, length in enumerate(shape) if number != axis]
    indices = torch.from_numpy(nearest_indices(len(slices), shape[axis])).to(logits.device)
    downwards = len(indices) < len(slices)
    if downwards:
        slices = slices.index_select(0, indices)
    if list(slices.shape[2:]) != in_plane:
        slices = interpolate(slices, size=in_plane, mode="bilinear", align_corners=False)
    if not downwards:
        slices = slices.index_select(0, indices)
    return slices.movedim(0, axis + 1)


def _cubic(volume: Volume, shape: tuple[int, int, int], separate: int | None) -> Volume:
    indices = None
    if separate is not None and shape[separate] != volume.shape[separate]:
        indices = nearest_indices(volume.shape[separate], shape[separate])
        if len(indices) < volume.shape[separate]:
            volume = volume.take(indices, axis=separate)
            indices = None
    axes = [axis for axis in range(3) if axis != separate and shape[axis] != volume.shape[axis]]
    if axes:
        within = tuple(axis for axis in range(3) if axis != separate)
        low, high = volume.min(axis=within, keepdims=True), volume.max(axis=within, keepdims=True)
        # The axis that shrinks most goes first: less is left to do for the others.
        for axis in sorted(axes, key=lambda axis: shape[axis] / volume.shape[axis]):
            volume = _along(axis_matrix(volume.shape[axis], shape[axis], 3), volume, axis)
        np.clip(volume, low, high, out=volume)
    return volume if indices is None else volume.take(indices, axis=separate)


def _along(matrix: npt.NDArray[np.float32], volume: Volume, axis: int) -> Volume:
    """Multiply one axis of a (Z, Y, X) volume by an (n_out, n_in) matrix."""
    z, y, x = volume.shape
    product: Volume
    if axis == 0:
        product = (matrix @ volume.reshape(z, y * x)).reshape(-1, y, x)
    elif axis == 1:
        product = np.matmul(matrix, volume)
    else:
        product = (volume.reshape(z * y, x) @ matrix.T).reshape(z, y, -1)
    return product
