from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from goodfit.tasks.segmentation.tiles import gaussian, lay_axis, mirror_combinations, tile_starts


@pytest.mark.parametrize(
    ("size", "patch", "step", "starts"),
    [
        # nnU-Net 2.8.1: compute_steps_for_sliding_window
        (110, 64, 0.5, [0, 23, 46]),
        (64, 64, 0.5, [0]),
        (65, 64, 0.5, [0, 1]),
        (41, 40, 0.5, [0, 1]),
        (100, 40, 0.5, [0, 20, 40, 60]),
        (101, 40, 0.5, [0, 15, 30, 46, 61]),
        (101, 40, 0.25, [0, 9, 17, 26, 35, 44, 52, 61]),
        (101, 40, 1.0, [0, 30, 61]),
        (5, 1, 1.0, [0, 1, 2, 3, 4]),
    ],
)
def test_starts_are_those_of_nnunet(size: int, patch: int, step: float, starts: list[int]) -> None:
    assert tile_starts(size, patch, step) == starts


AXES = st.tuples(st.integers(1, 40), st.integers(0, 200), st.floats(0.1, 1))


@settings(deadline=None)
@given(AXES)
def test_tiles_cover_the_axis_evenly_and_end_with_it(axis: tuple[int, int, float]) -> None:
    patch, more, step = axis
    starts = tile_starts(patch + more, patch, step)
    assert starts[0] == 0
    assert starts[-1] == more
    gaps = [second - first for first, second in itertools.pairwise(starts)]
    if gaps:
        assert max(gaps) - min(gaps) <= 1
        assert max(gaps) <= max(1, -(-patch * step // 1))


@settings(deadline=None)
@given(AXES)
def test_shares_of_all_tiles_sum_to_one_at_every_voxel(axis: tuple[int, int, float]) -> None:
    patch, more, step = axis
    laid = lay_axis(patch + more, patch, step)
    total = torch.zeros(patch + more)
    for start, weight in zip(laid.starts, laid.weights, strict=True):
        assert (weight > 0).all()
        total[start : start + patch] += weight
    torch.testing.assert_close(total, torch.ones_like(total))


def test_a_single_tile_counts_fully() -> None:
    assert torch.equal(lay_axis(40, 40, 0.5).weights, torch.ones(1, 40))


def test_gaussian_has_its_peak_in_the_middle_and_an_eighth_of_the_patch_as_sigma() -> None:
    weight = gaussian(40)
    assert weight.argmax() == 20
    assert weight[20] == 1
    assert weight[25].item() == pytest.approx(torch.tensor(-0.5).exp().item())
    assert gaussian(1).tolist() == [1]


def test_gaussian_is_nnunets() -> None:
    # compute_gaussian((40, 56, 40), dtype=float64) of nnU-Net 2.8.1 at a few voxels.
    z, y, x = gaussian(40), gaussian(56), gaussian(40)
    assert (z[20] * y[28] * x[20]).item() == 1
    assert (z[10] * y[20] * x[30]).item() == pytest.approx(0.009526, rel=1e-3)
    assert (z[0] * y[0] * x[0]).item() == pytest.approx(3.7751e-11, rel=1e-3)


@settings(deadline=None)
@given(st.sets(st.integers(2, 4)))
def test_mirrorings_are_all_subsets_the_empty_one_first(axes: set[int]) -> None:
    combinations = mirror_combinations(sorted(axes))
    assert combinations[0] == ()
    assert len(combinations) == len({frozenset(chosen) for chosen in combinations}) == 2 ** len(axes)
