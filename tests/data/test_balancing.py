"""Groups are divided to the sizes asked for, with the classes spread over the sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodfit.data.balancing import divide

THIRDS = (0.6, 0.2, 0.2)


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=3, max_size=40),
    fractions=st.sampled_from([THIRDS, (0.75, 0.25), (0.34, 0.33, 0.33), (0.9, 0.05, 0.05)]),
    classes=st.integers(0, 4),
    seed=st.integers(0, 1000),
)
def test_sizes_are_within_one_group_of_the_target(
    sizes: list[int], fractions: tuple[float, ...], classes: int, seed: int
) -> None:
    presence = np.random.default_rng(seed).integers(0, np.asarray(sizes)[:, None] + 1, (len(sizes), classes))
    assigned = divide(sizes, presence, fractions, np.random.default_rng(seed))
    assert assigned.shape == (len(sizes),)
    assert set(assigned.tolist()) == set(range(len(fractions)))
    totals = np.bincount(assigned, weights=sizes, minlength=len(fractions))
    target = np.asarray(fractions) * sum(sizes)
    # Where a set's share is smaller than any group, the one group it must have is already too much.
    if target.min() >= min(sizes):
        assert np.abs(totals - target).max() <= max(sizes)
    again = divide(sizes, presence, fractions, np.random.default_rng(seed))
    np.testing.assert_array_equal(assigned, again)


@pytest.mark.parametrize("count", [3, 4, 5, 9, 10, 30, 200])
def test_single_cases_come_as_close_as_numbers_allow(count: int) -> None:
    assigned = divide([1] * count, np.ones((count, 2)), THIRDS, np.random.default_rng(0))
    totals = np.bincount(assigned, minlength=3)
    assert totals.min() >= 1
    assert np.abs(totals - np.asarray(THIRDS) * count).max() <= 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 6))
def test_a_rare_class_reaches_every_set(seed: int, groups_with_class: int) -> None:
    presence = np.zeros((60, 2), dtype=int)
    presence[:, 0] = 1
    presence[np.random.default_rng(seed).permutation(60)[:groups_with_class], 1] = 1
    assigned = divide([1] * 60, presence, THIRDS, np.random.default_rng(seed))
    for index in range(3):
        assert presence[assigned == index, 1].any()


def test_balance_beats_chance() -> None:
    rng = np.random.default_rng(0)
    presence = (rng.random((100, 5)) < 0.2).astype(int)
    target = np.outer(THIRDS, presence.sum(axis=0))

    def distance(assigned: np.ndarray) -> float:
        return float(sum(np.abs(presence[assigned == i].sum(axis=0) - target[i]).sum() for i in range(3)))

    balanced = [distance(divide([1] * 100, presence, THIRDS, np.random.default_rng(seed))) for seed in range(5)]
    chance = [distance(divide([1] * 100, presence[:, :0], THIRDS, np.random.default_rng(seed))) for seed in range(5)]
    assert np.mean(balanced) < 0.5 * np.mean(chance)


def test_seeds_give_different_divisions() -> None:
    results = {tuple(divide([1] * 30, np.ones((30, 1)), THIRDS, np.random.default_rng(seed))) for seed in range(5)}
    assert len(results) == 5
