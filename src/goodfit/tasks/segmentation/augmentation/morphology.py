"""Binary morphology of volumes with a ball, as nnU-Net does it to the labels of a cascade's previous stage."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

Operation = Literal["dilate", "erode", "close", "open"]
OPERATIONS: tuple[Operation, ...] = ("dilate", "erode", "close", "open")


def morph(mask: Tensor, operation: Operation, radius: float) -> Tensor:
    """Dilate, erode, close or open a mask with a ball.

    What lies beyond the volume changes nothing: it adds no voxel when dilating and takes none away when eroding.

    Args:
        mask: (Z, Y, X) bool, on any device; stays as it is.
        operation: what to do; closing is dilating and then eroding, opening the other way round.
        radius: of the ball in voxels, at least 1.

    Returns:
        A new mask of the same shape.
    """
    if operation == "dilate":
        return _dilate(mask, radius)
    if operation == "erode":
        return _erode(mask, radius)
    if operation == "close":
        return _erode(_dilate(mask, radius), radius)
    return _dilate(_erode(mask, radius), radius)


@lru_cache(maxsize=16)
def ball(radius: float) -> Tensor:
    """Give a ball as a cube of bools.

    nnU-Net (skimage.morphology.ball): int(2 r + 1) points from -r to r along each axis, so that a radius between two
    halves gives a cube of even length. Points on the sphere are in or out by rounding, in the same order of additions
    as there, so that the same radius gives the same ball.
    """
    length = int(2 * radius + 1)
    points = np.arange(length) * (2 * radius / (length - 1)) + -radius
    squares = points**2
    return torch.from_numpy((squares + squares[:, None]) + squares[:, None, None] <= radius * radius)


def _dilate(mask: Tensor, radius: float) -> Tensor:
    result = torch.zeros_like(mask)
    box = _box_around(mask, margin=int(2 * radius + 1))
    if box is not None:
        result[box] = _reached(mask[box], ball(radius))
    return result


def _erode(mask: Tensor, radius: float) -> Tensor:
    result = torch.zeros_like(mask)
    # The margin holds every voxel outside the mask that the ball reaches from inside it.
    box = _box_around(mask, margin=int(2 * radius + 1))
    if box is not None:
        result[box] = ~_reached(~mask[box], ball(radius))
    return result


def _box_around(mask: Tensor, margin: int) -> tuple[slice, ...] | None:
    """Box of the voxels that are set, and a margin as far as there is room; None where none is."""
    box = []
    for axis, size in enumerate(mask.shape):
        first, second = (other for other in range(3) if other != axis)
        indices = mask.any(second).any(first).nonzero()
        if not len(indices):
            return None
        low, high = int(indices[0]), int(indices[-1])
        box.append(slice(max(0, low - margin), min(size, high + margin + 1)))
    return tuple(box)


def _reached(mask: Tensor, shape: Tensor) -> Tensor:
    """Voxels from which some voxel of the mask lies within the shape, by a convolution through Fourier space.

    The middle of a cube of even length is the lower of its two middle voxels (nnU-Net).
    """
    size = shape.shape[0]
    whole = [_fast_length(length + size - 1) for length in mask.shape]
    # Correlating is convolving with the mirror image; a ball is its own but for points on the sphere.
    mirrored = shape.flip(0, 1, 2).to(mask.device).float()
    product = torch.fft.rfftn(mask.float(), whole) * torch.fft.rfftn(mirrored, whole)
    counts: Tensor = torch.fft.irfftn(product, whole)
    first = size - 1 - (size - 1) // 2
    return counts[tuple(slice(first, first + length) for length in mask.shape)] > 0.5


def _fast_length(length: int) -> int:
    """Next length that has no prime factor above 5; transforms of others take several times as long."""
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1
