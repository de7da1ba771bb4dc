"""Which flips and turns the data allows, from the boxes' shapes and places and the categories' names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from goodfit.planning.instances.decision import Decision

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

LEAST_OBJECTS = 200
"""Fewer objects tell nothing of an orientation."""
LEAST_PER_FRAME = 5
"""Median objects of a frame: where there are fewer, a camera is usually aimed at them, and has an upper side."""
LARGEST_LEAN = 0.1
"""Largest difference from 0 of the mean log2(height / width): 7 % of the side."""
LARGEST_SHIFT = 0.05
"""Largest distance of the objects' mean place from the middle of the frame, as a share of its side."""
LARGEST_SPREAD = 0.15
"""Largest difference between the standard deviations of the places along y and x, relative to the larger."""
_SIDED = re.compile(r"(?:^|[^a-z])(left|right|l|r)(?:$|[^a-z])")


@dataclass(frozen=True)
class Turns:
    """Probabilities of flips and turns."""

    flip_horizontal: Decision[float]
    flip_vertical: Decision[float]
    quarter_turns: Decision[float]


def choose_turns(boxes: Floats, instances: Sequence[int], categories: Sequence[str]) -> Turns:
    """Choose flips and turns.

    Horizontal flips are on unless a category is named after a side. Vertical flips and turns by 90 degrees need boxes
    that show no preferred direction: as often upright as lying, spread over the frame alike in both axes. All of it is
    told from boxes alone; a user who knows better edits the plan.

    Args:
        boxes: as the fingerprint keeps them (n, 6).
        instances: objects of each frame.
        categories: their names.
    """
    sided = [name for name in categories if _SIDED.search(name.lower().replace("_", " "))]
    if sided:
        why = f"category {sided[0]!r} is named after a side, which a flip would exchange"
        return Turns(Decision(0.0, why), Decision(0.0, why), Decision(0.0, why))
    horizontal = Decision(0.5, "no category is named after a side; half the frames are mirrored, as in Detectron2")
    direction = _direction(boxes, instances)
    if direction is not None:
        why = f"objects seem to have an up and a down: {direction}"
        return Turns(horizontal, Decision(0.0, why), Decision(0.0, why))
    why = "boxes show no preferred direction: as often upright as lying, spread alike along both axes"
    return Turns(horizontal, Decision(0.5, why), Decision(0.5, why))


def _direction(boxes: Floats, instances: Sequence[int]) -> str | None:
    """Say what speaks for a preferred direction, or None."""
    if len(boxes) < LEAST_OBJECTS:
        return f"{len(boxes)} boxes are too few to show that they have none"
    per_frame = float(np.median(instances))
    if per_frame < LEAST_PER_FRAME:
        return f"half the frames have {per_frame:g} or fewer objects, so a camera seems to be aimed at them"
    lean = float(np.log2(boxes[:, 1] / boxes[:, 0]).mean())
    if abs(lean) > LARGEST_LEAN:
        return f"height / width is {2**lean:.2f} in the mean"
    places = boxes[:, 2:4] / boxes[:, 4:6]
    shift = places.mean(axis=0) - 0.5
    if np.abs(shift).max() > LARGEST_SHIFT:
        return f"their mean place is ({shift[0] + 0.5:.2f}, {shift[1] + 0.5:.2f}) of the frame's width and height"
    spread = places.std(axis=0)
    if np.ptp(spread) > LARGEST_SPREAD * spread.max():
        return f"their places are spread by {spread[0]:.2f} of the width, but {spread[1]:.2f} of the height"
    return None
