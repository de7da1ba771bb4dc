"""Which axes each stage of a U-Net halves, its kernels, and the patch sizes that these allow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_EDGE = 4
"""Shortest edge of a feature map that halving may leave (nnU-Net: UNet_featuremap_min_edge_length)."""
LONE_AXIS_EDGES = 3
"""A single axis is halved on its own only when it is this many ``MIN_EDGE`` long (nnU-Net: 3)."""
SIMILAR = 2
"""Axes whose voxels are less than this many times longer than the finest are treated alike (nnU-Net: 2)."""


@dataclass(frozen=True)
class Topology:
    """Stages of a U-Net for one patch.

    Attributes:
        patch_size: the patch, rounded up to what the strides divide.
        strides: downsampling on entering each stage; all ones in the first.
        kernel_sizes: convolution kernel of each stage.
    """

    patch_size: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    kernel_sizes: tuple[tuple[int, ...], ...]

    @property
    def stages(self) -> int:
        """Number of stages; a network of one stage is no U-Net."""
        return len(self.strides)

    @property
    def divisors(self) -> tuple[int, ...]:
        """What each edge of the patch must be a multiple of."""
        return tuple(math.prod(stride[axis] for stride in self.strides) for axis in range(len(self.patch_size)))


def derive_topology(spacing: Sequence[float], patch_size: Sequence[float]) -> Topology:
    """Derive strides and kernels from voxel size and patch (nnU-Net: get_pool_and_conv_props).

    Each stage halves the axes that are still long enough and whose voxels are about as fine as the finest of
    them, so that voxels become isotropic on the way down. A kernel has length 1 along an axis until that
    axis is about as fine as the finest one; from then on, and always in the last stage, it has length 3.

    Args:
        spacing: voxel size along the axes of the patch (two or three).
        patch_size: wanted patch in voxels; halves (from a median shape) are allowed.
    """
    dims = len(patch_size)
    voxel = list(spacing)
    edge = [float(length) for length in patch_size]
    kernel = [1] * dims
    strides = [(1,) * dims]
    kernels: list[tuple[int, ...]] = []
    while halved := _axes_to_halve(voxel, edge):
        finest = min(voxel)
        kernel = [3 if length == 3 or voxel[axis] / finest < SIMILAR else 1 for axis, length in enumerate(kernel)]
        kernels.append(tuple(kernel))
        strides.append(tuple(2 if axis in halved else 1 for axis in range(dims)))
        for axis in halved:
            voxel[axis] *= 2
            edge[axis] = math.ceil(edge[axis] / 2)
    kernels.append((3,) * dims)
    divisors = [math.prod(stride[axis] for stride in strides) for axis in range(dims)]
    rounded = tuple(math.ceil(length / divisor) * divisor for length, divisor in zip(patch_size, divisors, strict=True))
    return Topology(rounded, tuple(strides), tuple(kernels))


def _axes_to_halve(voxel: Sequence[float], edge: Sequence[float]) -> tuple[int, ...]:
    long_enough = [axis for axis, length in enumerate(edge) if length >= 2 * MIN_EDGE]
    if not long_enough:
        return ()
    finest = min(voxel[axis] for axis in long_enough)
    halved = tuple(axis for axis in long_enough if voxel[axis] / finest < SIMILAR)
    if len(halved) == 1 and edge[halved[0]] < LONE_AXIS_EDGES * MIN_EDGE:
        return ()
    return halved


def smallest_patch(spacing: Sequence[float], patch_size: Sequence[float]) -> tuple[float, ...]:
    """Enlarge a patch along its finest axes until a U-Net can halve it at least once.

    This is ours: for images of fewer than 8 voxels nnU-Net plans a network of one stage, which cannot run.
    """
    finest = min(spacing)
    fine = [axis for axis, length in enumerate(spacing) if length / finest < SIMILAR]
    least = (2 if len(fine) > 1 else LONE_AXIS_EDGES) * MIN_EDGE
    return tuple(max(length, least) if axis in fine else length for axis, length in enumerate(patch_size))


def neighbouring_patches(
    spacing: Sequence[float], patch_size: Sequence[int]
) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
    """The closest patches below and above ``patch_size`` that their own topology divides.

    Both are ``patch_size`` itself when it is such a patch. The lower one is None where none exists.
    """
    upper = derive_topology(spacing, patch_size)
    while (larger := derive_topology(spacing, upper.patch_size)).patch_size != upper.patch_size:
        upper = larger
    if upper.patch_size == tuple(patch_size):
        return upper.patch_size, upper.patch_size
    lower = tuple(length - length % divisor for length, divisor in zip(patch_size, upper.divisors, strict=True))
    if min(lower) >= 1 and derive_topology(spacing, lower).patch_size == lower:
        return lower, upper.patch_size
    return None, upper.patch_size
