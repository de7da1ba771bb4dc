"""Target spacing, axis order and the median shape after resampling."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from goodfit.planning import wording

if TYPE_CHECKING:
    from collections.abc import Sequence

ANISOTROPY = 3
"""An axis this much coarser than the others is anisotropic (nnU-Net: ANISO_THRESHOLD)."""
COARSE_AXIS_PERCENTILE = 10
"""Percentile of the spacings taken along an anisotropic axis (nnU-Net: 10, elsewhere the median)."""

Triple = tuple[float, float, float]


class TargetSpacing(NamedTuple):
    """The spacing that cases are resampled to, file order (z, y, x), in mm, and why."""

    spacing: Triple
    reason: str


def target_spacing(spacings: Sequence[Sequence[float]], shapes: Sequence[Sequence[int]]) -> TargetSpacing:
    """Choose the full-resolution target spacing.

    nnU-Net: the median spacing per axis. Where one axis is more than three times coarser than the others and
    also has fewer than a third of their voxels, its median would blur the finer cases along the axis that has
    the fewest slices, so the 10th percentile is taken there, though never finer than the other axes.

    Args:
        spacings: of every case, (z, y, x) in mm.
        shapes: of every case after the crop, (z, y, x) in voxels.
    """
    table = np.asarray(spacings, dtype=np.float64)
    target: list[float] = np.percentile(table, 50, axis=0).tolist()
    voxels: list[float] = np.percentile(np.asarray(shapes), 50, axis=0).tolist()
    coarse = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != coarse]
    coarsest_other = max(target[axis] for axis in others)
    coarse_spacing = target[coarse] > ANISOTROPY * coarsest_other
    few_voxels = voxels[coarse] * ANISOTROPY < min(voxels[axis] for axis in others)
    reason = "median spacing of the cases"
    if coarse_spacing and few_voxels:
        median = target[coarse]
        chosen = float(np.percentile(table[:, coarse], COARSE_AXIS_PERCENTILE))
        if chosen < coarsest_other:
            # nnU-Net's margin, which keeps this axis the coarsest when axes are compared later.
            chosen = coarsest_other + 1e-5
        target[coarse] = chosen
        reason += (
            f"; axis {wording.axis(coarse)} is anisotropic ({median:.4g} mm against {coarsest_other:.4g} mm, "
            f"{voxels[coarse]:g} voxels), so its spacing is the 10th percentile, {chosen:.4g} mm"
        )
    return TargetSpacing((target[0], target[1], target[2]), reason)


def transpose_order(spacing: Sequence[float]) -> tuple[int, int, int]:
    """Order the axes so that the coarsest comes first (nnU-Net: transpose_forward); the others keep their order.

    Slices of the 2d configuration are then cut across the coarsest axis.
    """
    coarse = max(range(3), key=lambda axis: spacing[axis])
    first, second = (axis for axis in range(3) if axis != coarse)
    return coarse, first, second


def transposed(values: Sequence[float], order: Sequence[int]) -> Triple:
    """Put three values into the order of ``transpose_order``."""
    return values[order[0]], values[order[1]], values[order[2]]


def resampled_shape(shape: Sequence[int], spacing: Sequence[float], target: Sequence[float]) -> tuple[int, int, int]:
    """Shape in voxels after resampling from ``spacing`` to ``target``; every axis keeps at least one voxel."""
    z, y, x = (max(1, round(old / new * voxels)) for old, new, voxels in zip(spacing, target, shape, strict=True))
    return z, y, x


def median_resampled_shape(
    shapes: Sequence[Sequence[int]], spacings: Sequence[Sequence[float]], target: Sequence[float]
) -> Triple:
    """Median per axis of all cases' shapes after resampling; halves occur with an even number of cases."""
    resampled = [resampled_shape(shape, spacing, target) for shape, spacing in zip(shapes, spacings, strict=True)]
    z, y, x = np.median(resampled, axis=0).tolist()
    return z, y, x
