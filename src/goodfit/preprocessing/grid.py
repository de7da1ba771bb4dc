"""Resampling of one axis: where the new voxels lie among the old, and the matrix of each spline order."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


def source_positions(n_in: int, n_out: int) -> npt.NDArray[np.float64]:
    """Centres of ``n_out`` voxels in units of the ``n_in`` voxels that cover the same length."""
    centres = np.arange(n_out, dtype=np.float64) + 0.5
    return np.float64(n_in / n_out) * centres - 0.5


def nearest_indices(n_in: int, n_out: int) -> npt.NDArray[np.intp]:
    """Give for each of ``n_out`` voxels the nearest of ``n_in``; halves round up, as in scipy at order 0."""
    return np.clip(np.floor(source_positions(n_in, n_out) + 0.5), 0, n_in - 1).astype(np.intp)


@lru_cache(maxsize=128)
def axis_matrix(n_in: int, n_out: int, order: Literal[0, 1, 3]) -> npt.NDArray[np.float32]:
    """Give the (n_out, n_in) matrix that resamples one axis; rows sum to 1. Read-only, float32."""
    matrix = np.zeros((n_out, n_in))
    rows = np.arange(n_out)
    if n_in == n_out:
        matrix[rows, rows] = 1
    elif order == 0:
        matrix[rows, nearest_indices(n_in, n_out)] = 1
    elif order == 1:
        position = np.clip(source_positions(n_in, n_out), 0, n_in - 1)
        low = np.floor(position).astype(np.intp)
        np.add.at(matrix, (rows, low), 1 - (position - low))
        np.add.at(matrix, (rows, np.minimum(low + 1, n_in - 1)), position - low)
    else:
        from scipy.ndimage import zoom

        for column, unit in enumerate(np.eye(n_in)):
            matrix[:, column] = zoom(unit, n_out / n_in, order=order, mode="nearest", grid_mode=True)
    result = matrix.astype(np.float32)
    result.flags.writeable = False
    return result
