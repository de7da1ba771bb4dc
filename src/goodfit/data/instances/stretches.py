"""Sets out of too few videos: each video is cut into stretches of time, with a guard gap between the sets.

Neighbouring frames of a video show nearly the same; without the gap, a set would begin with what the one before
ended with. The stretches are still of the same room, people and camera, so scores on them are optimistic.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goodfit.data.instances.model import Frame
    from goodfit.data.splits import SetName

GAP_SHARE = 0.05
"""Length of a guard gap as a share of the video's annotated moments; at least one moment."""
_MOST_ORDERS = 2000


@dataclass(frozen=True)
class Stretches:
    """Videos cut into stretches.

    Attributes:
        sets: set -> names of frames.
        gaps: group -> moments in each of its gaps.
        left_out: names of the frames in gaps.
    """

    sets: dict[SetName, list[str]]
    gaps: dict[str, int]
    left_out: list[str]


def cut(
    groups: dict[str, list[Frame]], names: Sequence[SetName], shares: Sequence[float], rng: np.random.Generator
) -> Stretches | None:
    """Cut each group into a stretch for each set.

    Frames of one moment (augmented copies, several cameras) stay together. The order of the sets in each group is
    the one that leaves the fewest categories without an object in some set; among equals it is drawn.

    Args:
        groups: group -> its frames in order of time; one that is too short to be cut goes to the first set.
        names: the sets, at least two.
        shares: of the frames, one for each set, summing to 1.
        rng: source of all randomness.

    Returns:
        The stretches, or None where no group is long enough.
    """
    moments = {group: _moments(frames) for group, frames in groups.items()}
    long = [group for group, found in moments.items() if len(found) >= 2 * len(names) - 1]
    if not long:
        return None
    gaps = {group: _gap(len(moments[group]), len(names)) for group in long}
    orders = _orders(len(names), len(long), rng)
    categories = {one.category for frames in groups.values() for frame in frames for one in frame.instances}

    def build(order: Sequence[Sequence[int]]) -> list[list[Frame]]:
        sets: list[list[Frame]] = [[] for _ in names]
        for group, found in moments.items():
            if group not in gaps:
                sets[0] += [frame for moment in found for frame in moment]
        for group, places in zip(long, order, strict=True):
            for place, moment in _cut_one(moments[group], places, shares, gaps[group]):
                sets[place] += moment
        return sets

    def lacking(sets: Sequence[Sequence[Frame]]) -> int:
        return sum(len(categories - {one.category for frame in part for one in frame.instances}) for part in sets)

    best = min((build(order) for order in orders), key=lacking)
    kept = {frame.name for part in best for frame in part}
    return Stretches(
        {name: sorted(frame.name for frame in part) for name, part in zip(names, best, strict=True)},
        gaps,
        sorted(frame.name for frames in groups.values() for frame in frames if frame.name not in kept),
    )


def _moments(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Gather the frames of one moment of one video; the moments in order."""
    moments: dict[tuple[str, int], list[Frame]] = {}
    for frame in frames:
        moments.setdefault((frame.video, frame.number), []).append(frame)
    return [moments[key] for key in sorted(moments)]


def _gap(moments: int, sets: int) -> int:
    """Length of each gap: the share asked for, but each set keeps a moment at least."""
    return min(max(1, round(GAP_SHARE * moments)), (moments - sets) // (sets - 1))


def _orders(sets: int, groups: int, rng: np.random.Generator) -> list[tuple[tuple[int, ...], ...]]:
    """List orders of the sets for all groups, in random order; a sample where there are very many."""
    single = list(permutations(range(sets)))
    if len(single) ** groups <= _MOST_ORDERS:
        every = list(product(single, repeat=groups))
        return [every[index] for index in rng.permutation(len(every))]
    draws = rng.integers(0, len(single), size=(_MOST_ORDERS, groups))
    return [tuple(single[index] for index in row) for row in draws]


def _cut_one(
    moments: Sequence[list[Frame]], order: Sequence[int], shares: Sequence[float], gap: int
) -> list[tuple[int, list[Frame]]]:
    """Deal the moments out in one order of the sets: pairs of set and moment, without the gaps."""
    usable = len(moments) - gap * (len(order) - 1)
    ends = np.rint(np.cumsum([shares[place] for place in order]) * usable).astype(int)
    # Each set keeps a moment at least.
    for index in range(len(order)):
        low = (ends[index - 1] if index else 0) + 1
        ends[index] = min(max(ends[index], low), usable - (len(order) - 1 - index))
    dealt = []
    start = 0
    for index, place in enumerate(order):
        shift = gap * index
        dealt += [(place, moments[moment + shift]) for moment in range(start, ends[index])]
        start = int(ends[index])
    return dealt
