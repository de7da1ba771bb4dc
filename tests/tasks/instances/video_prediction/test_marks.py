from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from goodfit.data.instances.masks import encode_mask
from goodfit.tasks.instances.detection import Detection
from goodfit.tasks.instances.tracking import UNTRACKED
from goodfit.tasks.instances.video_prediction.marks import Cut, Found, Mark, Timeline, cut_of


@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_cut_is_the_mask_without_its_surroundings(mask: np.ndarray) -> None:
    cut = cut_of(encode_mask(mask))
    again = np.zeros_like(mask)
    height, width = cut.inside.shape
    again[cut.y : cut.y + height, cut.x : cut.x + width] = cut.inside
    assert np.array_equal(again, mask)
    if mask.any():
        assert cut.inside[0].any()
        assert cut.inside[-1].any()
        assert cut.inside[:, 0].any()
        assert cut.inside[:, -1].any()


def test_cut_moves_and_grows_with_its_box() -> None:
    cut = Cut(10, 20, np.array([[True, False], [True, True]]))
    moved = cut.moved((10, 20, 12, 22), (110, 220, 114, 224))
    assert (moved.x, moved.y) == (110, 220)
    assert moved.inside.tolist() == [
        [True, True, False, False],
        [True, True, False, False],
        [True, True, True, True],
        [True, True, True, True],
    ]
    same = cut.moved((10, 20, 12, 22), (10, 20, 12, 22))
    assert (same.x, same.y) == (10, 20)
    assert np.array_equal(same.inside, cut.inside)


def found(number: int, *entries: tuple[float, int]) -> Found:
    boxes = np.array([(x, 0, x + 10, 10) for x, _ in entries], np.float32).reshape(-1, 4)
    count = len(entries)
    detection = Detection(boxes, np.full(count, 0.5, np.float32), np.ones(count, np.int64), None)
    return Found(number, number / 25, detection, np.array([identity for _, identity in entries], np.int64))


def positions(timeline: Timeline, numbers: list[int]) -> list[list[tuple[float, int]]]:
    return [[(mark.box[0], mark.identity) for mark in timeline.at(number)] for number in numbers]


def test_tracks_move_in_a_straight_line_between_frames_looked_at() -> None:
    timeline = Timeline(iter([found(0, (0, 1)), found(4, (8, 1)), found(8, (0, 1))]))
    seen = positions(timeline, list(range(10)))
    assert [row[0] for row in seen] == [(x, 1) for x in (0, 2, 4, 6, 8, 6, 4, 2, 0, 0)]


def test_what_is_in_one_frame_only_is_shown_over_the_nearer_half() -> None:
    timeline = Timeline(iter([found(0, (0, 1), (50, UNTRACKED)), found(4, (100, 2), (70, UNTRACKED))]))
    seen = positions(timeline, [0, 1, 2, 3, 4])
    assert seen[:2] == [[(0, 1), (50, UNTRACKED)]] * 2
    assert seen[2:] == [[(100, 2), (70, UNTRACKED)]] * 3


def test_frames_before_the_first_and_after_the_last_one() -> None:
    timeline = Timeline(iter([found(3, (5, 1))]))
    assert positions(timeline, [0, 2, 3, 7]) == [[], [], [(5, 1)], [(5, 1)]]
    assert positions(Timeline(iter([])), [0, 5]) == [[], []]


def test_entries_are_taken_as_late_as_possible() -> None:
    taken = []

    def entries() -> object:
        for number in range(0, 20, 5):
            taken.append(number)
            yield found(number)

    timeline = Timeline(entries())
    timeline.at(0)
    assert taken == [0]
    timeline.at(1)
    assert taken == [0, 5]
    timeline.at(5)
    assert taken == [0, 5]
    timeline.at(17)
    assert taken == [0, 5, 10, 15]


def test_mark_on_the_way_takes_the_mask_of_the_nearer_one() -> None:
    one = Mark((0, 0, 4, 4), 1, 0.9, 3, Cut(0, 0, np.ones((4, 4), bool)))
    two = Mark((10, 0, 18, 8), 1, 0.6, 3, Cut(10, 0, np.eye(8, dtype=bool)))
    early, late = one.towards(two, 0.25), one.towards(two, 0.75)
    assert early.box == pytest.approx((2.5, 0, 7.5, 5))
    assert early.cut is not None
    assert early.cut.inside.all()
    assert early.cut.inside.shape == (5, 5)
    assert late.cut is not None
    assert not late.cut.inside.all()
    assert (early.score, late.score) == (0.9, 0.6)
