"""Boxes as the network sees them: in pixels of the resized frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


def frame_scale(heights: npt.ArrayLike, widths: npt.ArrayLike, min_size: float, max_size: float) -> Floats:
    """Give the factor of each frame's resize: shorter side to ``min_size``, longer side at most ``max_size``."""
    shorter = np.minimum(np.asarray(heights, np.float64), np.asarray(widths, np.float64))
    longer = np.maximum(np.asarray(heights, np.float64), np.asarray(widths, np.float64))
    return np.asarray(np.minimum(min_size / shorter, max_size / longer), np.float64)


def scaled_boxes(boxes: Floats, min_size: float, max_size: float) -> Floats:
    """Give width and height (n, 2) in the network of boxes as the fingerprint keeps them (n, 6)."""
    scale = frame_scale(boxes[:, 5], boxes[:, 4], min_size, max_size)
    return np.asarray(boxes[:, :2] * scale[:, None], np.float64)


def relative_sizes(boxes: Floats) -> Floats:
    """Give the square root of each box's area as a share of its frame's shorter side."""
    return np.asarray(np.sqrt(boxes[:, 0] * boxes[:, 1]) / np.minimum(boxes[:, 4], boxes[:, 5]), np.float64)
