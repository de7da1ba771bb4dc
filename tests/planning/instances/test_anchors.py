from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.planning.instances.anchors import (
    DEFAULT_RATIOS,
    DEFAULT_SIZES,
    MOST_RATIOS,
    MOST_SIZES,
    cluster,
    derive_anchors,
    level_of,
    level_sizes,
    mean_best_iou,
)

if TYPE_CHECKING:
    import random

sides = st.floats(1, 2000)
box_lists = st.lists(st.tuples(sides, sides), min_size=1, max_size=60)


@given(box_lists)
def test_anchors_are_positive_equal_in_number_and_sorted(boxes: list[tuple[float, float]]) -> None:
    anchors = derive_anchors(np.asarray(boxes))
    sizes = np.asarray(anchors.sizes)
    assert sizes.shape[0] == 5
    assert 1 <= sizes.shape[1] <= MOST_SIZES
    assert 1 <= len(anchors.ratios) <= MOST_RATIOS
    assert (sizes > 0).all()
    assert min(anchors.ratios) > 0
    assert (np.diff(sizes, axis=1) >= 0).all()
    assert (np.diff(sizes, axis=0) >= 0).all()
    assert sorted(anchors.ratios) == anchors.ratios
    assert 0 <= anchors.fit <= 1


@given(box_lists, st.randoms())
def test_the_order_of_boxes_does_not_matter(boxes: list[tuple[float, float]], rng: random.Random) -> None:
    assert derive_anchors(np.asarray(rng.sample(boxes, len(boxes)))) == derive_anchors(np.asarray(boxes))


@pytest.mark.parametrize("factor", [0.1, 0.7, 3.0, 16.0])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_scaled_values_have_scaled_centres(count: int, factor: float) -> None:
    values = np.random.default_rng(count).lognormal(3, 1, 300)
    centres = cluster(values, count)
    assert cluster(values * factor, count) == pytest.approx([centre * factor for centre in centres])


@given(st.lists(st.floats(1, 1e4), min_size=1, max_size=50), st.integers(1, 4))
def test_centres_lie_among_the_values(values: list[float], count: int) -> None:
    centres = cluster(np.asarray(values), count)
    assert len(centres) == count
    assert min(values) * 0.999 <= centres[0] <= centres[-1] <= max(values) * 1.001


@given(st.lists(st.floats(30, 60), min_size=1, max_size=40), st.integers(1, 3))
def test_twice_the_size_is_one_level_up(values: list[float], count: int) -> None:
    areas = np.asarray(values)
    once, twice = np.asarray(level_sizes(areas, count)), np.asarray(level_sizes(areas * 2, count))
    assert twice[1:] == pytest.approx(2 * once[:-1], rel=0.01)
    assert (level_of(areas * 2) == np.minimum(level_of(areas) + 1, 4)).all()


def test_two_clusters_are_found() -> None:
    values = np.asarray([10.0] * 30 + [100.0] * 5)
    assert cluster(values, 2) == pytest.approx([10, 100])


def test_boxes_of_one_shape_and_size_need_one_anchor_that_fits_them() -> None:
    anchors = derive_anchors(np.full((50, 2), [20.0, 40.0]))
    assert anchors.ratios == [2.0]
    assert [len(level) for level in anchors.sizes] == [1] * 5
    assert anchors.sizes[0] == [28.3]
    assert anchors.fit > 0.8 > anchors.default_fit


def test_levels_without_boxes_take_their_neighbours_doubled_or_halved() -> None:
    sizes = level_sizes(np.full(20, 96.0), 1)
    assert sizes == [[24], [48], [96], [192], [384]]


def test_turned_frames_make_ratios_symmetric() -> None:
    rng = np.random.default_rng(0)
    boxes = np.stack([np.full(200, 20.0), rng.choice([20.0, 60.0], 200)], axis=1)
    ratios = derive_anchors(boxes, turned=True).ratios
    assert [a * b for a, b in zip(ratios, reversed(ratios), strict=True)] == pytest.approx([1] * len(ratios), rel=0.02)


def test_numbers_can_be_fixed() -> None:
    boxes = np.random.default_rng(0).uniform(5, 300, (300, 2))
    anchors = derive_anchors(boxes, sizes_per_level=1, ratio_count=3)
    assert {len(level) for level in anchors.sizes} == {1}
    assert len(anchors.ratios) == 3


def test_a_perfect_anchor_is_off_by_a_quarter_of_the_stride() -> None:
    box = np.asarray([[32.0, 32.0]])
    shared = 31.0**2
    assert mean_best_iou(box, [[32.0], [999], [999], [999], [999]], [1.0]) == pytest.approx(
        shared / (2 * 32**2 - shared)
    )


def test_a_coarse_level_fits_small_boxes_less() -> None:
    box = np.asarray([[32.0, 32.0]])
    fine, coarse = [[32.0], [999], [999], [999], [999]], [[999], [999], [999], [999], [32.0]]
    assert mean_best_iou(box, coarse, [1.0]) < mean_best_iou(box, fine, [1.0])


@given(box_lists)
def test_more_anchors_never_fit_worse(boxes: list[tuple[float, float]]) -> None:
    array = np.asarray(boxes)
    more = [(*level, level[0] * 1.3) for level in DEFAULT_SIZES]
    assert mean_best_iou(array, more, DEFAULT_RATIOS) >= mean_best_iou(array, DEFAULT_SIZES, DEFAULT_RATIOS)
