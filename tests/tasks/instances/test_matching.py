from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.data.instances.model import Frame, ImageSource, Instance
from goodfit.tasks.instances.detection import Detection
from goodfit.tasks.instances.matching import Pair, match_frame


def made(objects, found):
    """Objects (category, x, crowd) and detections (category, x, score): boxes of 10 x 10 in a row."""
    instances = tuple(Instance(c, (float(x), 0.0, x + 10.0, 10.0), None, 100.0, crowd) for c, x, crowd in objects)
    frame = Frame("f", "f", 0, None, 20, 200, ImageSource(Path("f")), instances)
    boxes = np.array([(x, 0, x + 10, 10) for _, x, _ in found], dtype=np.float32).reshape(-1, 4)
    scores = np.array([score for _, _, score in found], dtype=np.float32)
    return frame, Detection(boxes, scores, np.array([c for c, _, _ in found], dtype=np.int64), None)


def test_the_surer_detection_takes_the_object():
    match = match_frame(*made([(1, 0, False)], [(1, 0, 0.6), (1, 2, 0.9)]), masks=False)
    assert match.found == [Pair(1, 0, pytest.approx(8 / 12))]
    assert (match.false, match.missed, match.confused) == ([0], [], [])


def test_its_own_category_comes_first():
    match = match_frame(*made([(1, 0, False), (2, 2, False)], [(2, 0, 0.9)]), masks=False)
    assert [(pair.detection, pair.instance) for pair in match.found] == [(0, 1)]
    assert match.missed == [0]
    other = match_frame(*made([(1, 0, False)], [(2, 0, 0.9)]), masks=False)
    assert other.confused == [Pair(0, 0, 1.0)]
    assert (other.found, other.missed, other.false) == ([], [], [])


def test_an_overlap_and_a_score_on_the_threshold_count():
    # Overlap of 10 and 5: 5 / 10 of a box twice as wide.
    frame, detection = made([(1, 0, False)], [(1, 0, 0.5)])
    detection.boxes[0] = (0, 0, 5, 10)
    assert len(match_frame(frame, detection, masks=False).found) == 1
    detection.boxes[0] = (0, 0, 4.9, 10)
    assert match_frame(frame, detection, masks=False).false == [0]
    detection.scores[0] = 0.49
    assert match_frame(frame, detection, masks=False).false == []


def test_crowds_excuse_detections_of_their_category():
    frame, detection = made([(1, 0, True)], [(1, 0, 0.9), (1, 1, 0.8), (2, 0, 0.7)])
    match = match_frame(frame, detection, masks=False)
    assert (match.found, match.missed, match.confused, match.false) == ([], [], [], [2])


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 150), st.booleans()), max_size=8),
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 150), st.floats(0, 1, width=32)), max_size=8),
)
def test_everything_is_counted_once(objects, found):
    frame, detection = made(objects, found)
    match = match_frame(frame, detection, masks=False)
    pairs = [*match.found, *match.confused]
    instances = [pair.instance for pair in pairs] + match.missed
    assert sorted(instances) == [place for place, (_, _, crowd) in enumerate(objects) if not crowd]
    detections = [pair.detection for pair in pairs] + match.false
    assert len(detections) == len(set(detections)) <= sum(score >= 0.5 for _, _, score in found)
    for pair in pairs:
        same = objects[pair.instance][0] == found[pair.detection][0]
        assert same == (pair in match.found)
        assert pair.iou >= 0.5
