"""Frames that are unlike the training frames: the distance of each, the stretches of time that they fill, both as files."""

from __future__ import annotations

import csv
import io
import math
from array import array
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.files import write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

COLUMNS = ("frame", "time", "instances", "distance", "unusual")
JOIN = 1.0
"""Seconds: stretches that are no further apart are one."""


class FrameLog:
    """What is remembered of every frame looked at: 32 bytes each, so that a long video stays small.

    Args:
        unusual_from: distance from which a frame is unusual; None where distances are not measured.
    """

    def __init__(self, unusual_from: float | None) -> None:
        self.unusual_from = unusual_from
        self._numbers, self._instances = array("q"), array("q")
        self._times, self._distances = array("d"), array("d")

    def add(self, number: int, time: float, instances: int, distance: float | None) -> None:
        """Remember the next frame: its number, its time in seconds, how much was found, its distance."""
        self._numbers.append(number)
        self._times.append(time)
        self._instances.append(instances)
        self._distances.append(math.nan if distance is None else distance)

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """(N,) of the frames in the video."""
        return np.array(self._numbers, dtype=np.int64)

    @property
    def times(self) -> npt.NDArray[np.float64]:
        """(N,) in seconds."""
        return np.array(self._times, dtype=np.float64)

    @property
    def instances(self) -> npt.NDArray[np.int64]:
        """(N,) number of instances kept."""
        return np.array(self._instances, dtype=np.int64)

    @property
    def distances(self) -> npt.NDArray[np.float64]:
        """(N,) from the training frames; NaN where it was not measured."""
        return np.array(self._distances, dtype=np.float64)

    @property
    def unusual(self) -> npt.NDArray[np.bool_]:
        """(N,) which frames are unusual."""
        threshold = math.inf if self.unusual_from is None else self.unusual_from
        return np.asarray(self.distances > threshold, dtype=np.bool_)

    def write(self, file: Path) -> None:
        """Write a CSV with a row for each frame, ``COLUMNS``, atomically; what was not measured is an empty cell."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(COLUMNS)
        rows = zip(self._numbers, self._times, self._instances, self._distances, self.unusual, strict=True)
        for number, time, count, distance, flag in rows:
            measured = ("", "") if math.isnan(distance) else (f"{distance:.4f}", int(flag))
            table.writerow((number, f"{time:.6f}", count, *measured))
        write_text(file, text.getvalue())


@dataclass(frozen=True)
class TimeRange:
    """A stretch of a video with unusual frames.

    Attributes:
        start: seconds, of its first frame.
        end: seconds, when the frame after its last one is shown.
        frames: number of unusual frames in it.
        first: place of its first frame among the frames looked at.
        last: place of its last one.
    """

    start: float
    end: float
    frames: int
    first: int
    last: int


def ranges(
    times: Sequence[float] | npt.NDArray[np.float64],
    flags: Sequence[bool] | npt.NDArray[np.bool_],
    join: float = JOIN,
) -> list[TimeRange]:
    """Find the stretches of flagged frames.

    Args:
        times: of all frames looked at, in seconds, ascending.
        flags: one for each.
        join: stretches that are at most this far apart, in seconds, become one.
    """
    assert len(times) == len(flags), "one flag for each frame"
    seconds = [float(time) for time in times]
    steps = [later - earlier for earlier, later in pairwise(seconds)]
    last_step = float(np.median(steps)) if steps else 0.0
    found: list[TimeRange] = []
    for place in (int(place) for place in np.flatnonzero(np.asarray(flags, dtype=np.bool_))):
        start = seconds[place]
        end = seconds[place + 1] if place + 1 < len(seconds) else start + last_step
        if found and start - found[-1].end <= join:
            before = found[-1]
            found[-1] = TimeRange(before.start, end, before.frames + 1, before.first, place)
        else:
            found.append(TimeRange(start, end, 1, place, place))
    return found


def write_unusual(file: Path, source: str, log: FrameLog, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Write what is unusual as JSON, atomically.

    Args:
        file: receives it.
        source: the video or folder.
        log: of its frames.
        names: of the images of a folder, which are listed one by one, as they are no stretch of time.

    Returns:
        What was written: ``source``, ``unusual_from``, ``looked_at``, ``unusual`` (number of frames), and ``ranges``
        (start and end in seconds, first_frame and last_frame, frames, largest_distance and its time) or ``images``.
    """
    distances, flags = log.distances, log.unusual
    content: dict[str, Any] = {
        "source": source,
        "unusual_from": log.unusual_from,
        "looked_at": len(log),
        "unusual": int(flags.sum()),
    }
    if names is not None:
        content["images"] = [
            {"file_name": names[int(place)], "distance": round(float(distances[place]), 4)}
            for place in np.flatnonzero(flags)
        ]
    else:
        numbers, times = log.numbers, log.times
        content["ranges"] = []
        for found in ranges(times, flags):
            peak = found.first + int(np.argmax(distances[found.first : found.last + 1]))
            content["ranges"].append(
                {
                    "start": round(found.start, 6),
                    "end": round(found.end, 6),
                    "first_frame": int(numbers[found.first]),
                    "last_frame": int(numbers[found.last]),
                    "frames": found.frames,
                    "largest_distance": round(float(distances[peak]), 4),
                    "largest_at": round(float(times[peak]), 6),
                }
            )
    write_json(file, content)
    return content
