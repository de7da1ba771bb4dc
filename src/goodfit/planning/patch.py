"""The patch that a configuration starts from, and how it gives way to the memory budget."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from goodfit.planning.topology import Topology, derive_topology

if TYPE_CHECKING:
    from collections.abc import Sequence

INITIAL_EDGE = {2: 2048, 3: 256}
"""Edge of the square or cube whose size the first patch has (nnU-Net: 2048 and 256)."""


def initial_patch(spacing: Sequence[float], median_shape: Sequence[float]) -> tuple[float, ...]:
    """Start from a patch with equal edges in mm, never larger than the median case.

    nnU-Net: edges in proportion to 1 / spacing, as many voxels as 256 x 256 x 256 (3d) or 2048 x 2048 (2d),
    cut to the median shape.

    Args:
        spacing: voxel size along the axes of the patch (two or three).
        median_shape: median of the resampled cases along the same axes.
    """
    dims = len(spacing)
    proportions = [1 / length for length in spacing]
    scale = (INITIAL_EDGE[dims] ** dims / math.prod(proportions)) ** (1 / dims)
    edges = [round(proportion * scale) for proportion in proportions]
    return tuple(min(edge, median) for edge, median in zip(edges, median_shape, strict=True))


def reduced(topology: Topology, spacing: Sequence[float], median_shape: Sequence[float]) -> Topology | None:
    """Shorten the patch by one step along the axis where it covers most of the median shape.

    nnU-Net: the step is what the already shortened axis must be a multiple of, so that no allowed size is
    skipped when a shorter axis is halved less often; among equals the last axis gives way. Where shortening that
    axis would leave no U-Net, nnU-Net goes on to a network that cannot run; here the next axis gives way.

    Returns:
        The next smaller patch with its topology, or None when every smaller patch is too small for a U-Net.
    """
    size = topology.patch_size
    for axis in sorted(range(len(size)), key=lambda index: (size[index] / median_shape[index], index), reverse=True):
        patch = list(size)
        probe = list(size)
        probe[axis] -= topology.divisors[axis]
        patch[axis] -= derive_topology(spacing, probe).divisors[axis]
        if patch[axis] < 1:
            continue
        smaller = derive_topology(spacing, patch)
        if smaller.stages > 1 and math.prod(smaller.patch_size) < math.prod(size):
            return smaller
    return None
