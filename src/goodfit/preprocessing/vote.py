"""Linear interpolation of label maps: one weighted vote per label, at the interfaces only.

Interpolating an indicator per class and taking the largest gives, at each voxel, the label that holds most of
the (up to eight) surrounding voxels by trilinear weight. Where these all agree, and that is nearly everywhere,
nothing needs to be computed; the cost does not grow with the number of classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.preprocessing.grid import nearest_indices, source_positions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Indices = npt.NDArray[np.intp]

TIE = 1e-9
"""Shares closer than this are equal: the difference is rounding, not geometry."""

_SLAB_VOXELS = 1 << 22
_VOTE_VOXELS = 1 << 17


@dataclass(frozen=True)
class _Axis:
    """Where the output voxels of one axis lie: between ``low`` and ``high``, ``share`` of the way."""

    low: Indices
    high: Indices
    share: npt.NDArray[np.float64]
    nearest: Indices

    @classmethod
    def between(cls, n_in: int, n_out: int) -> _Axis:
        if n_in == n_out:
            same = np.arange(n_in)
            return cls(same, same, np.zeros(n_in), same)
        position = np.clip(source_positions(n_in, n_out), 0, n_in - 1)
        low = np.floor(position).astype(np.intp)
        return cls(low, np.minimum(low + 1, n_in - 1), position - low, nearest_indices(n_in, n_out))

    def part(self, piece: slice) -> _Axis:
        return _Axis(self.low[piece], self.high[piece], self.share[piece], self.nearest[piece])


def vote(label: Array, shape: Sequence[int]) -> Array:
    """Resample a (Z, Y, X) label map linearly per class; equal shares go to the nearest voxel's label.

    nnU-Net 2.8 with batchgenerators 0.25.5 decides in the same way (argmax of the indicators, the nearest
    neighbour where it is among the tied, else the smallest label).

    Args:
        label: integers.
        shape: the three lengths to reach; an axis whose length stays is not touched.

    Returns:
        A new array of ``shape`` and of the same type.
    """
    axes = [_Axis.between(n_in, n_out) for n_in, n_out in zip(label.shape, shape, strict=True)]
    result = np.empty(tuple(shape), dtype=label.dtype)
    rows = max(1, _SLAB_VOXELS // max(1, shape[1] * shape[2]))
    for first in range(0, shape[0], rows):
        piece = slice(first, first + rows)
        result[piece] = _vote_slab(label, (axes[0].part(piece), axes[1], axes[2]))
    return result


def _vote_slab(label: Array, axes: tuple[_Axis, _Axis, _Axis]) -> Array:
    smallest = largest = label
    nearest = label
    for number, axis in enumerate(axes):
        smallest = np.minimum(smallest.take(axis.low, axis=number), smallest.take(axis.high, axis=number))
        largest = np.maximum(largest.take(axis.low, axis=number), largest.take(axis.high, axis=number))
        nearest = nearest.take(axis.nearest, axis=number)
    interface = np.nonzero(smallest != largest)
    for first in range(0, len(interface[0]), _VOTE_VOXELS):
        where = tuple(indices[first : first + _VOTE_VOXELS] for indices in interface)
        nearest[where] = _count(label, axes, where, nearest[where])
    return nearest


def _count(label: Array, axes: tuple[_Axis, _Axis, _Axis], where: tuple[Indices, ...], nearest: Array) -> Array:
    """Give the winning label at each voxel of ``where``."""
    ends = [
        [(axis.low[index], 1 - axis.share[index]), (axis.high[index], axis.share[index])]
        if axis.share.any()
        else [(axis.low[index], np.ones(len(index)))]
        for axis, index in zip(axes, where, strict=True)
    ]
    corners = list(product(*ends))
    voters = np.stack([label[z, y, x] for (z, _), (y, _), (x, _) in corners])
    weights = np.stack([wz * wy * wx for (_, wz), (_, wy), (_, wx) in corners])
    shares = weights.copy()
    for first in range(len(corners)):
        for second in range(first + 1, len(corners)):
            agree = voters[first] == voters[second]
            shares[first] += weights[second] * agree
            shares[second] += weights[first] * agree
    # A corner of zero weight holds its label's share like any other, unless that label has no share at all.
    wins = shares >= shares.max(axis=0) - TIE
    lowest = np.where(wins, voters, np.iinfo(label.dtype).max).min(axis=0)
    nearest_wins = (wins & (voters == nearest)).any(axis=0)
    winner: Array = np.where(nearest_wins, nearest, lowest)
    return winner
