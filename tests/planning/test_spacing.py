from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.planning.spacing import (
    median_resampled_shape,
    resampled_shape,
    target_spacing,
    transpose_order,
    transposed,
)

lengths = st.floats(0.1, 20)
edges = st.integers(1, 600)


def test_isotropic_data_gets_the_median_spacing() -> None:
    target = target_spacing([(1, 1, 1), (2, 1.5, 1), (3, 2, 1)], [(50, 60, 70)] * 3)
    assert target.spacing == (2, 1.5, 1)
    assert target.reason == "median spacing of the cases"


def test_anisotropic_axis_gets_the_tenth_percentile_and_says_so() -> None:
    spacings = [(5.0, 1.0, 1.0)] * 2 + [(10.0, 1.0, 1.0)] * 9
    target = target_spacing(spacings, [(10, 256, 256)] * 11)
    assert target.spacing == (5.0, 1.0, 1.0)
    assert "axis z" in target.reason
    assert "10th percentile" in target.reason


def test_anisotropic_axis_is_never_made_finer_than_the_others() -> None:
    spacings = [(0.5, 1.0, 1.0)] * 5 + [(10.0, 1.0, 1.0)] * 9
    target = target_spacing(spacings, [(10, 256, 256)] * 14)
    assert target.spacing == (1.0 + 1e-5, 1.0, 1.0)


@pytest.mark.parametrize(
    ("spacing", "shape"),
    [
        pytest.param((3.0, 1.0, 1.0), (10, 256, 256), id="not more than three times coarser"),
        pytest.param((10.0, 1.0, 1.0), (100, 256, 256), id="not fewer than a third of the voxels"),
    ],
)
def test_both_conditions_are_needed(spacing: tuple[float, ...], shape: tuple[int, ...]) -> None:
    finer = (spacing[0] / 2, 1.0, 1.0)
    assert target_spacing([finer, spacing, spacing], [shape] * 3).spacing == spacing


@pytest.mark.parametrize(
    ("spacing", "order"),
    [
        ((1, 1, 1), (0, 1, 2)),
        ((5, 1, 1), (0, 1, 2)),
        ((1, 5, 1), (1, 0, 2)),
        ((1, 1, 5), (2, 0, 1)),
        ((1, 2, 2), (1, 0, 2)),
    ],
)
def test_coarsest_axis_goes_first(spacing: tuple[float, ...], order: tuple[int, ...]) -> None:
    assert transpose_order(spacing) == order


@given(st.tuples(lengths, lengths, lengths))
def test_transposed_spacing_begins_with_its_largest(spacing: tuple[float, float, float]) -> None:
    order = transpose_order(spacing)
    moved = transposed(spacing, order)
    assert sorted(order) == [0, 1, 2]
    assert moved[0] == max(spacing)
    assert sorted(moved) == sorted(spacing)


def test_resampling_rounds_halves_to_even_like_nnunet() -> None:
    assert resampled_shape((5, 7, 10), (0.5, 0.5, 2), (1, 1, 1)) == (2, 4, 20)


@given(st.tuples(edges, edges, edges), st.tuples(lengths, lengths, lengths), st.tuples(lengths, lengths, lengths))
def test_resampled_shape_keeps_the_extent(
    shape: tuple[int, ...], spacing: tuple[float, ...], target: tuple[float, ...]
) -> None:
    for new, voxels, old, wanted in zip(resampled_shape(shape, spacing, target), shape, spacing, target, strict=True):
        assert new >= 1
        assert new == 1 or abs(new * wanted - voxels * old) <= 0.5 * wanted + 1e-6


def test_median_of_an_even_number_of_cases_may_be_a_half() -> None:
    shapes = [(10, 20, 30), (11, 22, 30)]
    assert median_resampled_shape(shapes, [(1, 1, 1)] * 2, (1, 1, 1)) == (10.5, 21, 30)
