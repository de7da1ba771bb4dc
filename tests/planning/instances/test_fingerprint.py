from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from goodfit.data.instances.dataset import open_instances
from goodfit.errors import PlanError
from goodfit.planning.instances.fingerprint import (
    MOST_BOXES,
    FrameTable,
    InstanceFingerprint,
    bits_apart,
    hash_array,
    measure_instances,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Make = "Callable[..., Any]"


def test_counts_balance_and_empty_frames(frame: Make, measured: Make) -> None:
    frames = [
        frame("a", [(0, 0, 10, 20), (50, 50, 60, 70)], categories=[2, 1], number=0),
        frame("b", [], number=1),
        frame("c", [(0, 0, 10, 20)], categories=[2], group="other"),
    ]
    fingerprint = measured(frames, ["person", "bed", "chair"])
    assert fingerprint.category_counts == {"person": 1, "bed": 2, "chair": 0}
    assert fingerprint.empty_frames == 1
    assert dict(zip(fingerprint.frames.names, fingerprint.instances_per_frame, strict=True)) == {"a": 2, "b": 0, "c": 1}
    assert fingerprint.quantiles["box_ratio"] == [2.0] * 7
    assert fingerprint.redundancy is None


def test_boxes_hold_size_place_and_frame(frame: Make, measured: Make) -> None:
    fingerprint = measured([frame("a", [(10, 20, 40, 80)], size=(100, 200))])
    assert fingerprint.boxes == [[30, 60, 25, 50, 200, 100]]


def test_crowd_regions_do_not_count(frame: Make, measured: Make) -> None:
    fingerprint = measured([frame("a"), frame("b", [(0, 0, 400, 400)], number=1, crowd=True)])
    assert len(fingerprint.boxes) == 1
    assert fingerprint.empty_frames == 1


def test_order_does_not_matter(frame: Make, measured: Make) -> None:
    rng = random.Random(0)
    frames = [
        frame(f"f{index}", [(0, 0, rng.uniform(5, 100), rng.uniform(5, 100))] * 2, number=index) for index in range(30)
    ]
    shuffled = rng.sample(frames, len(frames))
    assert measured(frames) == measured(shuffled)


def test_of_many_boxes_a_sample_is_kept_that_spans_all_sizes(frame: Make, measured: Make) -> None:
    frames = [frame(f"f{i}", [(0, 0, 1 + i * 100 + j, 10) for j in range(1000)], number=i) for i in range(6)]
    boxes = measured(frames).box_array()
    assert len(boxes) == MOST_BOXES
    assert boxes[:, 0].min() == 1
    assert boxes[:, 0].max() == 1500


def test_overlap_looks_at_one_category_and_not_at_double_annotations(frame: Make, measured: Make) -> None:
    half = [(0, 0, 100, 100), (0, 50, 100, 150)]
    assert measured([frame("a", half)]).overlap_99 == pytest.approx(1 / 3, abs=1e-4)
    assert measured([frame("a", half, categories=[1, 2])], ["x", "y"]).overlap_99 == 0
    assert measured([frame("a", [(0, 0, 100, 100), (0, 0, 100, 99)])]).overlap_99 == 0


def test_redundancy_is_measured_between_neighbours_of_one_video(frame: Make, measured: Make) -> None:
    frames = [frame(f"{group}{n}", group=group, number=n) for group in "ab" for n in range(3)]
    hashes = {"a0": 0, "a1": 1, "a2": 0b111, "b0": 2**64 - 1, "b1": 2**64 - 1, "b2": 2**64 - 1}
    fingerprint = measured([*frames, frame("lone", group="c")], hashes={**hashes, "lone": 5})
    assert fingerprint.redundancy == {"a": 1.5, "b": 0.0}
    assert fingerprint.frames.hashes is not None
    assert fingerprint.frames.hashes[3] == "f" * 16


def test_a_set_without_objects_is_refused(frame: Make, dataset: Make) -> None:
    with pytest.raises(PlanError, match="no object in any of the 2 frames"):
        measure_instances(dataset([frame("a", []), frame("b", [])]), key="key")


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValidationError, match="heights has 2 entries for 1 frames"):
        FrameTable(names=["a"], videos=["v"], heights=[1, 2], widths=[1], categories=[[]])


def test_it_survives_json(frame: Make, measured: Make) -> None:
    fingerprint = measured([frame("a"), frame("b", number=1)], hashes={"a": 2**64 - 1, "b": 7})
    assert InstanceFingerprint.model_validate_json(fingerprint.model_dump_json()) == fingerprint


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20), st.integers(0, 2**64 - 1))
def test_bits_apart_counts_bits(hashes: list[int], other: int) -> None:
    array = hash_array([f"{value:016x}" for value in hashes])
    expected = [(value ^ other).bit_count() for value in hashes]
    assert bits_apart(array, np.asarray([other], np.uint64)).tolist() == expected


@pytest.mark.parametrize(
    ("name", "frames", "objects", "size", "ratio"),
    [
        ("dsb2018", 178, 5475, 15.0, 1.0),
        ("borrat", 230, 232, 197.8, 1.46),
        ("kidney_stone_boxes", 113, 231, 9.5, 0.8),
        ("bav_classroom", 48, 1176, 60.7, 1.88),
    ],
)
def test_real_sets(
    shared_data: Callable[[str], Path], name: str, frames: int, objects: int, size: float, ratio: float
) -> None:
    fingerprint = measure_instances(open_instances(shared_data(name)), key="key")
    assert len(fingerprint.frames.names) == frames
    assert sum(fingerprint.category_counts.values()) == objects
    assert fingerprint.quantiles["box_size"][3] == pytest.approx(size, rel=0.01)
    assert fingerprint.quantiles["box_ratio"][3] == pytest.approx(ratio, rel=0.01)
