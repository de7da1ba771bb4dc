from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from goodfit.planning.batch_size import BatchSize, choose_batch_size


def choose(values: int = 100, budget: float = 1000, dataset_voxels: float = 1e9, share: float = 0.05) -> BatchSize:
    return choose_batch_size(
        values=values,
        budget=budget,
        reference_batch=2,
        memory=8e9,
        patch_voxels=1000,
        dataset_voxels=dataset_voxels,
        largest_share=share,
    )


def test_the_rest_of_the_budget_goes_into_the_batch() -> None:
    assert choose().size == 20


def test_five_percent_of_the_dataset_cap_it() -> None:
    chosen = choose(dataset_voxels=140_000)
    assert chosen.size == 7
    assert "20 fit" in chosen.reason
    assert "about 7 patches" in chosen.reason


def test_it_is_never_below_two() -> None:
    chosen = choose(values=10_000, dataset_voxels=1000)
    assert chosen.size == 2
    assert chosen.reason.endswith("never fewer than 2")


@given(st.integers(1, 10**9), st.floats(1, 1e10), st.floats(1, 1e12))
def test_bounds(values: int, budget: float, dataset_voxels: float) -> None:
    size = choose(values, budget, dataset_voxels).size
    assert size >= 2
    assert size == 2 or size <= budget / values * 2 + 0.5
    assert size == 2 or size * 1000 <= 0.05 * dataset_voxels + 500
