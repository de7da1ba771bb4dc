from __future__ import annotations

import csv
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from goodfit.files import read_json
from goodfit.tasks.instances.video_prediction.unusual import COLUMNS, FrameLog, TimeRange, ranges, write_unusual

if TYPE_CHECKING:
    from pathlib import Path


def log_of(distances: list[float | None], unusual_from: float | None = 2.0) -> FrameLog:
    log = FrameLog(unusual_from)
    for place, distance in enumerate(distances):
        log.add(5 * place, place / 5, place % 3, distance)
    return log


def test_ranges_join_what_is_close() -> None:
    times = [number / 2 for number in range(12)]
    flags = [False, True, True, False, True, False, False, False, False, False, False, True]
    assert ranges(times, flags, join=0.6) == [TimeRange(0.5, 2.5, 3, 1, 4), TimeRange(5.5, 6.0, 1, 11, 11)]
    assert ranges(times, flags, join=0) == [
        TimeRange(0.5, 1.5, 2, 1, 2),
        TimeRange(2.0, 2.5, 1, 4, 4),
        TimeRange(5.5, 6.0, 1, 11, 11),
    ]
    assert ranges([], []) == []
    assert ranges([3.0], [True]) == [TimeRange(3.0, 3.0, 1, 0, 0)]


@given(st.lists(st.booleans(), max_size=60), st.floats(0, 5))
def test_ranges_hold_exactly_the_flagged_frames(flags: list[bool], join: float) -> None:
    times = [0.4 * number for number in range(len(flags))]
    found = ranges(times, flags, join)
    assert sum(one.frames for one in found) == sum(flags)
    assert [flags[one.first] and flags[one.last] for one in found] == [True] * len(found)
    assert all(sum(flags[one.first : one.last + 1]) == one.frames for one in found)
    for time, flag in zip(times, flags, strict=True):
        if flag:
            assert sum(one.start <= time <= one.end for one in found) >= 1
    assert all(later.start - earlier.end > join for earlier, later in pairwise(found))


def test_table_has_a_row_for_each_frame(tmp_path: Path) -> None:
    log_of([0.9, 7.5, None]).write(tmp_path / "frames.csv")
    with (tmp_path / "frames.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        list(COLUMNS),
        ["0", "0.000000", "0", "0.9000", "0"],
        ["5", "0.200000", "1", "7.5000", "1"],
        ["10", "0.400000", "2", "", ""],
    ]


def test_nothing_is_unusual_where_no_distance_says_so() -> None:
    assert not log_of([9.0, None], unusual_from=None).unusual.any()
    assert log_of([2.0, 2.1, None]).unusual.tolist() == [False, True, False]
    assert len(FrameLog(1.0)) == len(FrameLog(1.0).unusual) == 0


def test_ranges_are_written_with_their_peak(tmp_path: Path) -> None:
    log = log_of([1, 1, 3, 5, 4, *[1] * 8, 2.5, 1])
    written = write_unusual(tmp_path / "unusual.json", "film.mp4", log)
    assert written == read_json(tmp_path / "unusual.json")
    assert (written["source"], written["unusual_from"], written["looked_at"], written["unusual"]) == (
        "film.mp4",
        2,
        15,
        4,
    )
    first, second = written["ranges"]
    assert first == {
        "start": 0.4,
        "end": 1.0,
        "first_frame": 10,
        "last_frame": 20,
        "frames": 3,
        "largest_distance": 5.0,
        "largest_at": 0.6,
    }
    assert (second["start"], second["first_frame"], second["frames"]) == (2.6, 65, 1)


def test_images_are_listed_one_by_one(tmp_path: Path) -> None:
    written = write_unusual(tmp_path / "unusual.json", "folder", log_of([1, 3, 1, 2.5]), ["a", "b", "c", "d"])
    assert written["images"] == [{"file_name": "b", "distance": 3.0}, {"file_name": "d", "distance": 2.5}]
    assert "ranges" not in written
