"""Dividing groups among sets: sizes as asked for, classes spread as evenly as the groups allow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_ATTEMPTS_PER_GROUP = 40
_MOST_ATTEMPTS = 8000
_MISSING_CLASS = 10.0


def divide(
    sizes: Sequence[int], presence: npt.NDArray[Any], fractions: Sequence[float], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Assign each group to a set.

    First the groups, in random order, go to whichever set lacks most cases; that alone keeps each set within one
    group of its target. Then random pairs of groups change places wherever this spreads the classes more evenly.
    With every class in every case nothing is gained by that and the division stays random.

    Args:
        sizes: number of cases of each group, (G,).
        presence: number of cases of each group in which each class occurs, (G, K).
        fractions: share of the cases that each set should get, (S,), summing to 1; S <= G.
        rng: source of all randomness.

    Returns:
        The set of each group, (G,); no set is empty.
    """
    count = np.asarray(sizes, dtype=np.float64)
    shares = np.asarray(fractions, dtype=np.float64)
    assigned = _fill(count, shares, rng)
    columns = np.column_stack([count, np.asarray(presence, dtype=np.float64).reshape(len(count), -1)])
    return _improve(assigned, columns, shares, rng)


def _fill(count: Floats, shares: Floats, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    lacking = shares * count.sum()
    assigned = np.full(len(count), -1, dtype=np.int64)
    empty = set(range(len(shares)))
    for position, group in enumerate(rng.permutation(len(count))):
        # The last groups are kept for sets that have none yet.
        candidates = sorted(empty) if len(count) - position <= len(empty) else range(len(shares))
        chosen = max(candidates, key=lambda index: lacking[index])
        assigned[group] = chosen
        lacking[chosen] -= count[group]
        empty.discard(chosen)
    return assigned


def _improve(
    assigned: npt.NDArray[np.int64], columns: Floats, shares: Floats, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Swap pairs of groups between sets while that lowers the cost; column 0 of ``columns`` counts cases."""
    totals = columns.sum(axis=0)
    columns, totals = columns[:, totals > 0], totals[totals > 0]
    target = np.outer(shares, totals)
    # Sizes weigh as much as all classes together, or a little class balance would cost much size.
    weights = np.ones(len(totals))
    weights[0] = max(1, len(totals) - 1)
    sums = np.stack([columns[assigned == index].sum(axis=0) for index in range(len(shares))])
    cost = _cost(sums, target, weights)
    tolerance = columns[:, 0].max()
    attempts = min(_MOST_ATTEMPTS, _ATTEMPTS_PER_GROUP * len(columns))
    for first, second in rng.integers(0, len(columns), size=(attempts, 2)):
        one, other = assigned[first], assigned[second]
        if one == other:
            continue
        moved = columns[second] - columns[first]
        changed = sums.copy()
        changed[one] += moved
        changed[other] -= moved
        before, after = np.abs(sums[:, 0] - target[:, 0]).max(), np.abs(changed[:, 0] - target[:, 0]).max()
        lower = _cost(changed, target, weights)
        if lower < cost - 1e-9 and after <= max(before, tolerance):
            sums, cost = changed, lower
            assigned[first], assigned[second] = other, one
    return assigned


def _cost(sums: Floats, target: Floats, weights: Floats) -> float:
    """Chi-square distance from the targets, plus a penalty for each class that a set lacks."""
    distance = ((sums - target) ** 2 / target * weights).sum()
    return float(distance + _MISSING_CLASS * (sums[:, 1:] == 0).sum())
