"""Tracking with a short look ahead, so that a track has its number from its first detection on."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from goodfit.tasks.instances.detection import Detection
    from goodfit.tasks.instances.tracking.tracker import Ids, Tracker

Item = TypeVar("Item")


def follow(tracker: Tracker, items: Iterable[tuple[Item, Detection, float]]) -> Iterator[tuple[Item, Detection, Ids]]:
    """Track through a video.

    Args:
        tracker: a new one.
        items: anything that belongs to a frame, what was found in it, and its time in seconds.

    Yields:
        Item, detection and its identities (N,), ``UNTRACKED`` where there is none; ``tracker.lag`` items behind.
    """
    waiting: deque[tuple[Item, Detection, Ids]] = deque()
    for item, detection, time in items:
        waiting.append((item, detection, tracker.update(detection, time)))
        for correction in tracker.corrections:
            waiting[-1 - correction.ago][2][correction.place] = correction.identity
        if len(waiting) > tracker.lag:
            yield waiting.popleft()
    yield from waiting
