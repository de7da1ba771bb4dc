from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from goodfit.data.instances.model import Frame, ImageSource, Instance
from goodfit.data.instances.stretches import cut

NAMES = ("train", "validation", "test")
SHARES = (0.6, 0.2, 0.2)


def video(name, length, copies=1, categories=()):
    frames = []
    for number in range(length):
        shown = [category for category, (first, last) in enumerate(categories, start=1) if first <= number < last]
        objects = tuple(Instance(category, (0.0, 0.0, 1.0, 1.0), None, 1.0) for category in shown)
        for copy in range(copies):
            source = ImageSource(Path(f"{name}{number}_{copy}"))
            frames.append(Frame(f"{name}_{number}_{copy}", name, number * 3, None, 4, 4, source, objects, name))
    return frames


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=3),
    st.integers(1, 2),
    st.integers(2, 3),
    st.integers(0, 5),
)
def test_sets_are_apart_by_the_gap_and_no_moment_is_divided(lengths, copies, count, seed):
    groups = {f"v{index}": video(f"v{index}", length, copies) for index, length in enumerate(lengths)}
    names, shares = NAMES[:count], [share / sum(SHARES[:count]) for share in SHARES[:count]]
    made = cut(groups, names, shares, np.random.default_rng(seed))
    if max(lengths) < 2 * count - 1:
        assert made is None
        return
    place = {name: part for part, members in made.sets.items() for name in members}
    everything = [frame.name for frames in groups.values() for frame in frames]
    assert sorted([*place, *made.left_out]) == sorted(everything)
    for group, frames in groups.items():
        moments = {}
        for frame in frames:
            moments.setdefault(frame.number // 3, set()).add(place.get(frame.name))
        assert all(len(sets) == 1 for sets in moments.values())
        sets = [next(iter(moments[number])) for number in sorted(moments)]
        used = [name for name in sets if name]
        if group not in made.gaps:
            assert set(sets) == {"train"}
            continue
        assert set(used) == set(names)
        # One stretch for each set, and a gap of the length told between two of them.
        changes = [index for index in range(1, len(sets)) if sets[index] != sets[index - 1]]
        assert len(changes) == 2 * (count - 1)
        assert sets.count(None) == made.gaps[group] * (count - 1)
        for name, share in zip(names, shares, strict=True):
            assert abs(sets.count(name) - share * len(used)) <= 2


@given(st.integers(0, 20))
def test_equal_seeds_cut_alike_and_categories_are_spread(seed):
    groups = {"a": video("a", 40, 1, [(0, 40), (0, 10)]), "b": video("b", 40, 1, [(0, 40), (30, 40)])}
    made = cut(groups, NAMES, SHARES, np.random.default_rng(seed))
    assert made == cut(groups, NAMES, SHARES, np.random.default_rng(seed))
    shown = {frame.name: {one.category for one in frame.instances} for frames in groups.values() for frame in frames}
    both = [part for part, members in made.sets.items() if {2} <= set().union(*(shown[name] for name in members))]
    assert both == list(NAMES)
