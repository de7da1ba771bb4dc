"""Polygons as COCO writes them: [x, y, x, y, ...] in pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Points = npt.NDArray[np.float64]

_FLAT = 1e-9
"""Height of a polygon as a share of its length up to which it is a line."""
_ROWS = 256
"""Edges compared with all others at once: bounds the memory for polygons of many thousand points."""


def points_of(flat: Sequence[float]) -> Points:
    """Give the corners (N, 2) without repeats of neighbours and without a closing point equal to the first."""
    points = np.asarray(flat, dtype=np.float64).reshape(-1, 2)
    differs: npt.NDArray[np.bool_] = (points != np.roll(points, 1, axis=0)).any(axis=1)
    return points[np.flatnonzero(differs)]


def polygon_area(flat: Sequence[float] | Points) -> float:
    """Area in square pixels, whatever the direction of the outline (shoelace formula); 0 for points on one line.

    Loops of a polygon that crosses itself may cancel each other: where nothing is left, half of its box is taken.
    """
    points = np.asarray(flat, dtype=np.float64).reshape(-1, 2)
    x, y = points[:, 0] - points[0, 0], points[:, 1] - points[0, 1]
    # Seen from the first corner, the edges that begin or end there add nothing.
    area = float(abs(x[:-1] @ y[1:] - y[:-1] @ x[1:]) / 2)
    far = int(np.argmax(x**2 + y**2))
    on_a_line = bool((np.abs(x * y[far] - y * x[far]) <= _FLAT * (x[far] ** 2 + y[far] ** 2)).all())
    return 0.0 if on_a_line else area or float(np.ptp(x) * np.ptp(y)) / 2


def touches_itself(flat: Sequence[float]) -> bool:
    """Whether two edges that are not neighbours cross or touch, or neighbours lie on each other."""
    start = points_of(flat)
    if len(start) < 3:
        return True
    end = np.roll(start, -1, axis=0)
    return _folds_back(start, end) or any(
        _any_meeting(start, end, first, min(first + _ROWS, len(start))) for first in range(0, len(start), _ROWS)
    )


def _folds_back(start: Points, end: Points) -> bool:
    """Whether an edge runs back over the edge before it."""
    edge = end - start
    following = np.roll(edge, -1, axis=0)
    turn = edge[:, 0] * following[:, 1] - edge[:, 1] * following[:, 0]
    return bool(((turn == 0) & ((edge * following).sum(axis=1) < 0)).any())


def _any_meeting(start: Points, end: Points, first: int, last: int) -> bool:
    """Whether an edge of first..last-1 meets one that is not its neighbour."""
    count = len(start)
    rows, columns = np.arange(first, last)[:, None], np.arange(count)[None]
    apart = (columns > rows + 1) & ~((rows == 0) & (columns == count - 1))
    a, b = start[first:last, None], end[first:last, None]
    low, high = np.minimum(start, end), np.maximum(start, end)
    near = apart & (low[first:last, None] <= high[None]).all(axis=2) & (high[first:last, None] >= low[None]).all(axis=2)
    if not near.any():
        return False
    c, d = start[None], end[None]
    # Each edge's ends lie on different sides of the other, or on it; with boxes that meet, that is a meeting.
    across = (_side(a, b, c) * _side(a, b, d) <= 0) & (_side(c, d, a) * _side(c, d, b) <= 0)
    return bool((near & across).any())


def _side(a: Points, b: Points, point: Points) -> Points:
    """Sign of the turn from a to b to the point; (R, C) by broadcasting."""
    turn = (b[..., 0] - a[..., 0]) * (point[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (point[..., 0] - a[..., 0])
    return np.asarray(np.sign(turn), dtype=np.float64)
