"""Anchors from the boxes: sizes by k-means on each level of the pyramid, ratios by k-means over all of them.

Clustering is done on logarithms: the IoU of two boxes of one shape and centre is ``exp(-2 |d|)`` with ``d`` the
difference of the logarithms of their sizes, so near in logarithm is near in IoU (the distance that YOLOv2 clusters by,
Redmon and Farhadi 2017). Sizes are square roots of areas, ratios height / width, as torchvision takes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from goodfit.planning.instances.plan import LEVEL_STRIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

DEFAULT_SIZES = ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,))
"""torchvision's and Detectron2's, made for COCO at 800 pixels."""
DEFAULT_RATIOS = (0.5, 1.0, 2.0)
CELLS = 6.0
"""Strides across a typical object of a level: half-way between the 4 and 8 of the one- and two-octave choices of
feature pyramid detectors; each level takes one octave of sizes around it, the outer levels everything beyond."""
MOST_SIZES = 3
MOST_RATIOS = 3
WORTH = 0.02
"""One more size or ratio must raise the mean best IoU by this: each costs more anchors at every position."""
LEAST_BOXES = 8
"""A level with fewer boxes of its own takes the sizes of its neighbour, doubled or halved."""
ITERATIONS = 100


@dataclass(frozen=True)
class Anchors:
    """Anchors of all levels and how well they meet the boxes.

    Attributes:
        sizes: for each level, finest first, ascending.
        ratios: ascending.
        fit: mean over the boxes of the best IoU with an anchor.
        default_fit: the same of torchvision's default anchors.
    """

    sizes: list[list[float]]
    ratios: list[float]
    fit: float
    default_fit: float

    def describe(self) -> str:
        """Say in one sentence how well they fit."""
        return f"mean best IoU with the boxes is {self.fit:.2f}; torchvision's default anchors reach {self.default_fit:.2f}"


def derive_anchors(
    boxes: Floats, *, turned: bool = False, sizes_per_level: int | None = None, ratio_count: int | None = None
) -> Anchors:
    """Derive anchors from boxes at input scale; the order of the boxes does not matter.

    From one size and one ratio on, the one of the two that helps more is added while it is worth it.

    Args:
        boxes: width and height (n, 2) in pixels of the network's input, n >= 1, all above 0.
        turned: training turns frames by 90 degrees, so every ratio occurs with its inverse.
        sizes_per_level: fixed number of sizes on each level; None chooses 1 to 3.
        ratio_count: fixed number of ratios; None chooses 1 to 3.
    """
    seen = np.concatenate([boxes, boxes[:, ::-1]]) if turned else boxes
    seen = seen[np.lexsort((seen[:, 1], seen[:, 0]))]
    areas, shapes = np.sqrt(seen[:, 0] * seen[:, 1]), seen[:, 1] / seen[:, 0]

    def made(size_count: int, ratio_number: int) -> Anchors:
        sizes = level_sizes(areas, size_count)
        ratios = [_shown(ratio) for ratio in cluster(shapes, ratio_number)]
        return Anchors(sizes, ratios, mean_best_iou(seen, sizes, ratios), default_fit)

    default_fit = mean_best_iou(seen, DEFAULT_SIZES, DEFAULT_RATIOS)
    best = made(sizes_per_level or 1, ratio_count or 1)
    while True:
        counts = len(best.sizes[0]), len(best.ratios)
        richer = []
        if sizes_per_level is None and counts[0] < MOST_SIZES:
            richer.append(made(counts[0] + 1, counts[1]))
        if ratio_count is None and counts[1] < MOST_RATIOS:
            richer.append(made(counts[0], counts[1] + 1))
        next_best = max(richer, key=lambda anchors: anchors.fit, default=best)
        if next_best.fit < best.fit + WORTH:
            return best
        best = next_best


def cluster(values: Floats, count: int) -> list[float]:
    """Cluster positive numbers by k-means on their logarithms, from evenly spaced quantiles on.

    Returns:
        ``count`` centres, ascending; equal ones where there are fewer different values.
    """
    logs = np.sort(np.log(values))
    centres = np.quantile(logs, (np.arange(count) + 0.5) / count)
    for _ in range(ITERATIONS):
        nearest = np.searchsorted((centres[:-1] + centres[1:]) / 2, logs)
        members = np.bincount(nearest, minlength=count)
        sums = np.bincount(nearest, weights=logs, minlength=count)
        moved = np.where(members > 0, sums / np.maximum(members, 1), centres)
        if np.allclose(moved, centres, rtol=0, atol=1e-9):
            break
        centres = moved
    return [float(value) for value in np.exp(centres)]


def level_of(areas: Floats) -> npt.NDArray[np.int64]:
    """Give each object its level by size: one octave around ``CELLS`` strides each, the outer levels the rest."""
    levels = np.round(np.log2(areas / (CELLS * LEVEL_STRIDES[0])))
    return np.asarray(np.clip(levels, 0, len(LEVEL_STRIDES) - 1), np.int64)


def level_sizes(areas: Floats, count: int) -> list[list[float]]:
    """Give ``count`` ascending sizes for each level from the square roots of the areas of all boxes."""
    levels = level_of(areas)
    members = np.bincount(levels, minlength=len(LEVEL_STRIDES))
    enough = min(LEAST_BOXES, int(members.max()))
    own = {int(level): cluster(areas[levels == level], count) for level in np.flatnonzero(members >= enough)}
    sizes = []
    for level in range(len(LEVEL_STRIDES)):
        nearest = min(own, key=lambda filled: (abs(filled - level), filled))
        sizes.append([_shown(size * 2.0 ** (level - nearest)) for size in own[nearest]])
    return sizes


def mean_best_iou(boxes: Floats, sizes: Sequence[Sequence[float]], ratios: Sequence[float]) -> float:
    """Mean over boxes (n, 2) of the best IoU with an anchor, at the offset that the level's grid leaves on average.

    Anchors stand at every stride of their level, so a box is off the nearest by up to half a stride and by a quarter on
    average, in x and in y: a large stride costs a small box more.
    """
    best = np.zeros(len(boxes))
    for level, stride in zip(sizes, LEVEL_STRIDES, strict=True):
        best = np.maximum(best, _iou(boxes, _shapes(level, ratios), stride / 4).max(axis=1))
    return float(best.mean())


def _shapes(sizes: Sequence[float], ratios: Sequence[float]) -> Floats:
    """Width and height (n, 2) of every size with every ratio."""
    roots = np.sqrt(np.asarray(ratios, np.float64))
    shapes = [(size / root, size * root) for size in sizes for root in roots]
    return np.asarray(shapes, np.float64)


def _iou(boxes: Floats, anchors: Floats, offset: float = 0.0) -> Floats:
    """IoU (n, m) of boxes (n, 2) with anchors (m, 2) whose centres are ``offset`` pixels away in x and y."""
    a, b = boxes[:, None, :], anchors[None, :, :]
    shared = np.prod(np.clip(np.minimum(np.minimum(a, b), (a + b) / 2 - offset), 0, None), axis=-1)
    return np.asarray(shared / (np.prod(a, axis=-1) + np.prod(b, axis=-1) - shared), np.float64)


def _shown(value: float) -> float:
    """Keep three digits: anchors are read and edited by people."""
    return float(f"{value:.3g}")
