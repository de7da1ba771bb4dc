"""Where the tiles of a sliding window lie and how much each counts, axis by axis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

SIGMA = 1 / 8
"""Standard deviation of the Gaussian importance relative to the patch (nnU-Net)."""


def tile_starts(size: int, patch: int, step: float) -> list[int]:
    """First voxel of each tile along one axis: evenly spaced, at most ``step * patch`` apart (nnU-Net).

    Args:
        size: voxels of the image, at least ``patch``.
        patch: voxels of a tile.
        step: share of the patch, above 0 and at most 1.
    """
    assert size >= patch, f"image of {size} voxels, patch of {patch}"
    assert 0 < step <= 1, f"step {step}"
    last = size - patch
    count = math.ceil(last / (patch * step)) + 1
    return [round(last / (count - 1) * index) for index in range(count)] if count > 1 else [0]


def gaussian(patch: int) -> Tensor:
    """Importance of each voxel of a tile along one axis, (patch,) float64, 1 at voxel ``patch // 2`` (nnU-Net).

    nnU-Net's weight of a voxel is the product over the axes. It is never 0: the smallest, in the corners of a
    3D tile, is about 4e-11, which float32 can hold (nnU-Net's float16 cannot, and replaces zeros).
    """
    offsets = torch.arange(patch, dtype=torch.float64) - patch // 2
    return torch.exp(-0.5 * (offsets / (SIGMA * patch)) ** 2)


@dataclass(frozen=True)
class Axis:
    """Tiles along one axis.

    Attributes:
        starts: first voxel of each tile, ascending.
        weights: (tiles, patch) float32: share that each voxel of a tile has in the weighted mean, so that over
            every voxel of the axis the shares of its tiles sum to 1.
    """

    starts: list[int]
    weights: Tensor


def lay_axis(size: int, patch: int, step: float) -> Axis:
    """Lay tiles over one axis; see ``tile_starts``.

    Tiles form a grid and the Gaussian is a product over the axes, so the sum of weights over all tiles at a voxel is
    a product too: dividing per axis is dividing by the whole sum, without a volume to hold it.
    """
    starts = tile_starts(size, patch, step)
    weight = gaussian(patch)
    total = torch.zeros(size, dtype=torch.float64)
    for start in starts:
        total[start : start + patch] += weight
    shares = torch.stack([weight / total[start : start + patch] for start in starts])
    return Axis(starts, shares.float())


def mirror_combinations(axes: Sequence[int]) -> list[tuple[int, ...]]:
    """Every set of axes to flip, the empty one first: 2 ** len(axes) of them (nnU-Net)."""
    combinations: list[tuple[int, ...]] = [()]
    for axis in axes:
        combinations += [(*chosen, axis) for chosen in combinations]
    return combinations
