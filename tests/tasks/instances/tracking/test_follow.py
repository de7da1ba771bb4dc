from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from goodfit.tasks.instances.detection import Detection
from goodfit.tasks.instances.tracking.follow import follow
from goodfit.tasks.instances.tracking.tracker import UNTRACKED, Correction

if TYPE_CHECKING:
    from collections.abc import Iterator


class Scripted:
    """Numbers each detection with its update, and corrects as it is told."""

    def __init__(self, lag: int, corrections: dict[int, list[Correction]]) -> None:
        self.lag = lag
        self.corrections: list[Correction] = []
        self._script = corrections
        self.updates = 0

    def update(self, detection: Detection, time: float) -> np.ndarray:
        self.corrections = self._script.get(self.updates, [])
        self.updates += 1
        return np.full(len(detection), UNTRACKED, np.int64)


def nothing(count: int) -> Detection:
    return Detection(np.zeros((count, 4), np.float32), np.ones(count, np.float32), np.ones(count, np.int64), None)


def test_corrections_reach_the_frames_that_wait() -> None:
    tracker = Scripted(2, {3: [Correction(2, 1, 7), Correction(0, 0, 8)]})
    found = [identities.tolist() for _, _, identities in follow(tracker, ((n, nothing(2), n) for n in range(5)))]
    assert found == [[-1, -1], [-1, 7], [-1, -1], [8, -1], [-1, -1]]


def test_items_come_in_order_and_no_later_than_the_lag() -> None:
    tracker = Scripted(2, {})
    given: list[int] = []

    def items() -> Iterator[tuple[int, Detection, float]]:
        for number in range(10):
            given.append(number)
            yield number, nothing(1), float(number)

    seen = []
    for number, _, _ in follow(tracker, items()):
        seen.append(number)
        assert len(given) - len(seen) <= 2
    assert seen == list(range(10))
