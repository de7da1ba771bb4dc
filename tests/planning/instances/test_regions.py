from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.planning.instances.regions import (
    choose_detections,
    choose_nms_threshold,
    choose_regions,
    choose_regions_per_image,
)


@pytest.mark.parametrize(("objects", "regions"), [(0, 64), (1, 64), (4, 128), (7, 224), (16, 512), (375, 512)])
def test_regions_follow_the_objects(objects: int, regions: int) -> None:
    assert choose_regions_per_image([objects] * 20).value == regions


def test_a_few_full_frames_do_not_decide() -> None:
    assert choose_regions_per_image([1] * 99 + [100]).value == 64


@pytest.mark.parametrize(("most", "detections"), [(0, 20), (1, 20), (26, 40), (112, 170)])
def test_detections_leave_a_margin(most: int, detections: int) -> None:
    assert choose_detections(most).value == detections


def test_more_than_coco_looks_at_is_said() -> None:
    assert "best 100" in choose_detections(112).reason
    assert "best 100" not in choose_detections(20).reason


@given(st.lists(st.integers(0, 400), min_size=1, max_size=50), st.floats(0, 0.9))
def test_counts_are_in_bounds(instances: list[int], overlap: float) -> None:
    counts = choose_regions(instances, overlap)
    assert counts.detections_per_image.value > max(instances)
    assert 64 <= counts.regions_per_image.value <= 512
    assert 150 <= counts.rpn_proposals_test.value <= 1000
    assert counts.rpn_proposals_train.value == 2 * counts.rpn_proposals_test.value
    assert 0.5 <= counts.nms_threshold.value <= 0.7


def test_crowded_objects_are_not_suppressed() -> None:
    assert choose_nms_threshold(0.3).value == 0.5
    assert choose_nms_threshold(0.55).value == 0.6
    assert choose_nms_threshold(0.9).value == 0.7
