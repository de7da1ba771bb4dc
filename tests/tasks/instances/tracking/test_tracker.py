from __future__ import annotations

import numpy as np
import pytest

from goodfit.errors import SettingsError
from goodfit.tasks.instances.detection import Detection
from goodfit.tasks.instances.tracking.follow import follow
from goodfit.tasks.instances.tracking.tracker import UNTRACKED, Method, Tracker, TrackingSettings

METHODS: tuple[Method, ...] = ("bytetrack", "ocsort")
RATE = 25.0


def detection(
    *boxes: tuple[float, ...], scores: list[float] | None = None, categories: list[int] | None = None
) -> Detection:
    count = len(boxes)
    return Detection(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores if scores is not None else [0.9] * count, np.float32),
        np.array(categories if categories is not None else [1] * count, np.int64),
        None,
    )


def person(x: float, y: float = 100, width: float = 40, height: float = 100) -> tuple[float, ...]:
    return (x, y, x + width, y + height)


def run(frames: list[Detection], settings: TrackingSettings, rate: float = RATE) -> list[list[int]]:
    tracker = Tracker(settings, rate)
    items = ((number, found, number / rate) for number, found in enumerate(frames))
    return [identities.tolist() for _, _, identities in follow(tracker, items)]


@pytest.mark.parametrize("method", METHODS)
def test_one_figure_keeps_its_number_from_the_first_frame_on(method: Method) -> None:
    frames = [detection(person(3.0 * number)) for number in range(20)]
    assert run(frames, TrackingSettings(method)) == [[1]] * 20


@pytest.mark.parametrize("method", METHODS)
def test_figures_that_cross_keep_their_numbers(method: Method) -> None:
    """Two of them walk past each other, seen throughout, at different distances from the camera."""
    frames = [
        detection(person(20 + 5.0 * number, 100), person(300 - 5.0 * number, 130, 46, 120)) for number in range(50)
    ]
    assert run(frames, TrackingSettings(method)) == [[1, 2]] * 50


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("hidden", [1, 5, 12, 25])
def test_figure_hidden_for_some_frames_is_the_same_again(method: Method, hidden: int) -> None:
    """The second figure is not found at all while the first one, which stands still, covers it."""
    frames = []
    for number in range(40 + hidden):
        boxes = [person(200)]
        if not 20 <= number < 20 + hidden:
            boxes.append(person(60 + 4.0 * number, 104, 36, 96))
        frames.append(detection(*boxes))
    identities = run(frames, TrackingSettings(method))
    assert {row[0] for row in identities} == {1}
    assert {row[1] for row in identities if len(row) > 1} == {2}


@pytest.mark.parametrize("method", METHODS)
def test_figure_away_for_longer_than_remembered_is_another_one(method: Method) -> None:
    settings = TrackingSettings(method, memory=0.5)
    frames = [detection(person(100)) if not 10 <= number < 10 + 20 else detection() for number in range(40)]
    identities = run(frames, settings)
    assert identities[:10] == [[1]] * 10
    assert identities[30:] == [[2]] * 10


@pytest.mark.parametrize("method", METHODS)
def test_time_counts_not_frames(method: Method) -> None:
    """A gap in a video of variable rate is measured in seconds."""
    settings = TrackingSettings(method, memory=1)
    for pause, numbers in ((0.8, {1}), (1.5, {1, 2})):
        times = [number / RATE for number in range(10)]
        times += [times[-1] + pause + number / RATE for number in range(10)]
        tracker = Tracker(settings, RATE)
        found = [(None, detection(person(100)), time) for time in times]
        assert {int(identities[0]) for _, _, identities in follow(tracker, found)} == numbers


@pytest.mark.parametrize("method", METHODS)
def test_categories_do_not_mix(method: Method) -> None:
    """A dog at the place where a person was a frame before is no person."""
    frames = [detection(person(100), scores=[0.9], categories=[1 if number < 10 else 2]) for number in range(20)]
    identities = run(frames, TrackingSettings(method))
    assert identities == [[1]] * 10 + [[2]] * 10


def test_unsure_detections_continue_a_track_but_begin_none() -> None:
    frames = [detection(person(100), person(300), scores=[0.9 if number < 5 else 0.2, 0.3]) for number in range(15)]
    assert run(frames, TrackingSettings()) == [[1, UNTRACKED]] * 15


def test_detections_below_the_lowest_score_are_left_alone() -> None:
    frames = [detection(person(100), scores=[0.9 if number < 5 else 0.05]) for number in range(10)]
    assert run(frames, TrackingSettings()) == [[1]] * 5 + [[UNTRACKED]] * 5


@pytest.mark.parametrize("method", METHODS)
def test_single_false_alarms_get_no_number(method: Method) -> None:
    frames = [
        detection(person(100), *([person(400)] if number in (7, 12) else []), scores=None) for number in range(20)
    ]
    identities = run(frames, TrackingSettings(method))
    assert all(row[0] == 1 for row in identities)
    assert [row[1] for row in identities if len(row) > 1] == [UNTRACKED, UNTRACKED]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("confirmations", [1, 2, 4])
def test_numbers_reach_back_to_the_first_detection_and_leave_no_gap(method: Method, confirmations: int) -> None:
    frames = []
    for number in range(30):
        boxes = [person(100), *([person(300)] if number >= 10 else []), *([person(500)] if number == 5 else [])]
        frames.append(detection(*boxes))
    identities = run(frames, TrackingSettings(method, confirmations=confirmations))
    assert all(row[0] == 1 for row in identities)
    assert all(row[1] == 2 for row in identities[10:])


def test_order_of_the_detections_is_kept() -> None:
    random = np.random.default_rng(0)
    places = [50.0, 200.0, 350.0, 500.0]
    found = {}
    tracker = Tracker(TrackingSettings(), RATE)
    for number in range(20):
        order = random.permutation(4)
        scores = [float(score) for score in random.uniform(0.5, 1, 4)]
        identities = tracker.update(
            detection(*[person(places[place]) for place in order], scores=scores), number / RATE
        )
        if number > 1:
            for place, identity in zip(order, identities, strict=True):
                assert found.setdefault(int(place), int(identity)) == identity
    assert sorted(found.values()) == [1, 2, 3, 4]


@pytest.mark.parametrize("method", METHODS)
def test_empty_frames_are_fine(method: Method) -> None:
    frames = [detection() for _ in range(5)] + [detection(person(100))] * 5 + [detection()] * 100
    assert run(frames, TrackingSettings(method)) == [[]] * 5 + [[1]] * 5 + [[]] * 100


@pytest.mark.parametrize(
    "values",
    [
        {"method": "sort"},
        {"start_score": 1.5},
        {"keep_score": 0.6},
        {"memory": -1},
        {"overlap": 0},
        {"confirmations": 0},
    ],
)
def test_senseless_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="track"):
        TrackingSettings(**values)
