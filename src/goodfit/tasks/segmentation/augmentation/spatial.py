"""Rotation, scaling, centre crop and mirroring of images (linear) and labels (nearest) together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from torch import Tensor

    from goodfit.tasks.segmentation.augmentation.draw import Parameters, SampleParameters

OUTSIDE = -1
"""Label of voxels outside the image, or outside its nonzero mask."""


def take_patches(images: Tensor, labels: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
    """Take each sample's patch from the middle of its initial patch, rotated and scaled where drawn.

    A sample that does not move is cropped, without interpolation. Points outside the initial patch get 0 in
    the image and -1 in the label.

    Args:
        images: (B, C, *initial) float32.
        labels: (B, 1, *initial) int16.
        parameters: one entry per sample.

    Returns:
        New tensors, (B, C, *patch) float32 and (B, 1, *patch) int16.
    """
    patch = parameters.patch_size
    new_images = images.new_empty((*images.shape[:2], *patch))
    new_labels = labels.new_empty((*labels.shape[:2], *patch))
    window = centre_window(tuple(images.shape[2:]), patch)
    moving = [index for index, sample in enumerate(parameters.samples) if sample.moves]
    for index in set(range(len(images))) - set(moving):
        new_images[index] = images[index][window]
        new_labels[index] = labels[index][window]
    if not moving:
        return new_images, new_labels

    # In the plane, every slice moves in the same way: slices become channels of 2D images.
    folded = 3 if parameters.in_plane else 2
    dims = images.dim() - folded
    matrices = np.stack([affine_matrix(parameters.samples[index], dims) for index in moving])
    grid = sampling_grid(matrices, tuple(images.shape[folded:]), patch[folded - 2 :], images.device)
    chosen = torch.tensor(moving, device=images.device)
    moved = functional.grid_sample(
        images[chosen].flatten(1, folded - 1), grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    new_images[chosen] = moved.view(-1, *new_images.shape[1:])
    # Zero padding stands for the label -1 once labels are moved up by one. Values up to int16 are exact in float32.
    shifted = labels[chosen].flatten(1, folded - 1).float().sub_(OUTSIDE)
    moved = functional.grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    new_labels[chosen] = moved.add_(OUTSIDE).to(labels.dtype).view(-1, *new_labels.shape[1:])
    return new_images, new_labels


def centre_window(shape: Sequence[int], patch: Sequence[int]) -> tuple[slice, ...]:
    """Index of the middle ``patch`` of an array of (channels, *shape); halves are rounded as in nnU-Net."""
    starts = [size // 2 - length // 2 for size, length in zip(shape, patch, strict=True)]
    return (slice(None), *(slice(start, start + length) for start, length in zip(starts, patch, strict=True)))


def affine_matrix(sample: SampleParameters, dims: int) -> npt.NDArray[np.float64]:
    """(dims, dims) matrix from patch to initial-patch offsets (voxels from the centre, array axis order).

    nnU-Net: Rz @ Ry @ Rx @ scale, where x, y, z name the array axes 0, 1, 2; in the plane a single rotation.
    """
    scale = 1.0 if sample.scale is None else sample.scale
    if sample.rotation is None:
        return scale * np.eye(dims)
    if dims == 2:
        return scale * _turn(2, (0, 1), sample.rotation[0])
    about_0, about_1, about_2 = sample.rotation
    return scale * _turn(3, (0, 1), about_2) @ _turn(3, (2, 0), about_1) @ _turn(3, (1, 2), about_0)


def _turn(dims: int, plane: tuple[int, int], angle: float) -> npt.NDArray[np.float64]:
    matrix = np.eye(dims)
    first, second = plane
    matrix[first, first] = matrix[second, second] = math.cos(angle)
    matrix[first, second] = -math.sin(angle)
    matrix[second, first] = math.sin(angle)
    return matrix


def sampling_grid(
    matrices: npt.NDArray[np.float64], source: Sequence[int], target: Sequence[int], device: torch.device
) -> Tensor:
    """Where in ``source`` each voxel of ``target`` is sampled, as ``grid_sample`` wants it.

    Args:
        matrices: (N, D, D), from target to source offsets in voxels from the centre.
        source: size of the initial patch, D axes.
        target: size of the patch, D axes.
        device: where the grid is to lie.

    Returns:
        (N, *target, D) float32, last axis first, -1 and 1 at the outer edges of the source.
    """
    dims = len(target)
    # Rows flipped, since grid_sample wants x first, and scaled to half the source's size.
    rows = (matrices * (2 / np.asarray(source, dtype=np.float64))[:, None])[:, ::-1]
    factors = torch.tensor(np.ascontiguousarray(rows), dtype=torch.float32, device=device)
    factors = factors.view(*factors.shape, *[1] * dims)
    # One plane per coordinate, all samples of a coordinate together: three times as fast as interleaved.
    grid = torch.empty((dims, len(matrices), *target), device=device)
    terms = []
    for axis, size in enumerate(target):
        offsets = torch.arange(size, dtype=torch.float32, device=device) - (size - 1) / 2
        terms.append(offsets.view([size if other == axis else 1 for other in range(dims)]))
    for coordinate in range(dims):
        scaled = [term * factors[:, coordinate, axis] for axis, term in enumerate(terms)]
        torch.add(sum(scaled[1:-1], start=scaled[0]), scaled[-1], out=grid[coordinate])
    return grid.movedim(0, -1)


def mirror(images: Tensor, labels: Tensor, samples: Sequence[SampleParameters]) -> None:
    """Flip each sample along its axes, in place."""
    for index, sample in enumerate(samples):
        if sample.mirror:
            axes = [axis + 1 for axis in sample.mirror]
            images[index] = images[index].flip(axes)
            labels[index] = labels[index].flip(axes)
