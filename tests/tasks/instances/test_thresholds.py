from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.errors import RunError
from goodfit.tasks.instances.detection import Detection
from goodfit.tasks.instances.thresholds import (
    SCORES,
    Thresholds,
    _overlap,
    _score,
    choose_thresholds,
    load_thresholds,
    overlaps_to_try,
    planned_thresholds,
    save_thresholds,
)

CATEGORIES = ["box", "ball"]


def detection_of(frame, *, copies: int = 0, sure: float = 0.9) -> Detection:
    """All objects of a frame, and of each some copies that are a little beside it and less sure."""
    boxes, scores, categories = [], [], []
    for instance in frame.instances:
        for copy in range(1 + copies):
            boxes.append([side + copy for side in instance.box])
            scores.append(sure - 0.1 * copy)
            categories.append(instance.category)
    order = np.argsort(scores, kind="stable")[::-1]
    values = (np.array(boxes, np.float32), np.array(scores, np.float32), np.array(categories, np.int64))
    return Detection(*(value[order] for value in values), None)


def test_the_overlap_with_the_best_precision_is_taken_in_place_of_the_plans(world) -> None:
    frames = [world.frame(name) for name in "abcdef"]
    found = {
        0.3: [detection_of(frame) for frame in frames],
        0.6: [detection_of(frame, copies=3, sure=0.9 - 0.02 * place) for place, frame in enumerate(frames)],
    }
    chosen = choose_thresholds(frames, found, CATEGORIES, masks=False, planned=0.6)
    assert chosen.nms_threshold == 0.3
    assert (chosen.frames, chosen.ap["0.3"]) == (6, 1)
    assert chosen.ap["0.6"] < 1
    assert chosen.reasons["nms_threshold"].startswith("in place of the plan's 0.6: average precision on 6 validation")


def test_copies_that_are_less_sure_raise_the_score_that_is_shown(world) -> None:
    frames = [world.frame(name) for name in "abcd"]
    found = {0.5: [detection_of(frame, copies=1, sure=0.75) for frame in frames]}
    chosen = choose_thresholds(frames, found, CATEGORIES, masks=False, planned=0.5)
    assert 0.65 < chosen.score <= 0.75
    assert chosen.f1["0.7"] == 1
    assert chosen.f1["0.5"] == pytest.approx(2 / 3)
    clean = choose_thresholds(
        frames, {0.5: [detection_of(frame) for frame in frames]}, CATEGORIES, masks=False, planned=0.5
    )
    assert clean.score == 0.5
    assert "the usual one" in clean.reasons["score"]


@given(st.dictionaries(st.sampled_from([0.3, 0.4, 0.6, 0.7]), st.floats(0, 1)), st.floats(0, 1))
def test_the_plans_overlap_stays_unless_another_is_clearly_better(others: dict[float, float], own: float) -> None:
    ap = {**others, 0.5: own}
    chosen, reason = _overlap(ap, 0.5, 10)
    assert ap[chosen] >= own
    assert (chosen == 0.5) == (max(ap.values()) < own + 0.002)
    assert f"{own:.3f}" in reason


@given(st.lists(st.floats(0, 1), min_size=len(SCORES), max_size=len(SCORES)))
def test_of_scores_that_are_as_good_the_one_nearest_to_the_usual_is_taken(values: list[float]) -> None:
    f1 = dict(zip(SCORES, values, strict=True))
    chosen, _ = _score(f1, 10)
    best = max(values)
    assert f1[chosen] >= 0.95 * best
    nearer = [score for score in SCORES if abs(score - 0.5) < abs(chosen - 0.5) - 1e-9]
    assert all(f1[score] < 0.95 * best for score in nearer)


def test_what_the_user_asked_for_is_tried_alone() -> None:
    assert overlaps_to_try(0.55, fixed=True) == [0.55]
    assert overlaps_to_try(0.55, fixed=False) == [0.3, 0.4, 0.5, 0.55, 0.6, 0.7]
    assert overlaps_to_try(0.5, fixed=False) == [0.3, 0.4, 0.5, 0.6, 0.7]


def test_an_overlap_that_was_asked_for_is_kept_with_its_measured_precision(world) -> None:
    frame = world.frame("a")
    chosen = choose_thresholds([frame], {0.55: [detection_of(frame)]}, CATEGORIES, masks=False, planned=0.55)
    assert chosen.nms_threshold == 0.55
    assert chosen.reasons["nms_threshold"].startswith(
        "asked for; average precision on 1 validation frame (0.55: 1.000)"
    )


def test_frames_without_objects_decide_nothing(world) -> None:
    frame = world.frame("a", objects=0)
    nothing = Detection(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), None)
    chosen = choose_thresholds([frame], {0.3: [nothing], 0.6: [nothing]}, CATEGORIES, masks=False, planned=0.6)
    assert (chosen.nms_threshold, chosen.score, chosen.frames) == (0.6, 0.5, 0)
    assert "no validation frame has an object" in chosen.reasons["nms_threshold"]


def test_thresholds_are_the_same_after_saving(tmp_path) -> None:
    path = tmp_path / "thresholds.json"
    for thresholds in (
        planned_thresholds(0.6, "why"),
        Thresholds(nms_threshold=0.3, score=0.8, frames=4, ap={"0.3": 0.5}),
    ):
        save_thresholds(thresholds, path)
        assert load_thresholds(path) == thresholds


def test_other_files_are_refused(tmp_path) -> None:
    path = tmp_path / "thresholds.json"
    with pytest.raises(RunError, match=r"thresholds\.json"):
        load_thresholds(path)
    path.write_text(json.dumps({"nms_threshold": 3}))
    with pytest.raises(RunError, match=r"no thresholds of this version \(nms_threshold: "):
        load_thresholds(path)
