"""Tracks by the trackers of roboflow's library of that name, one for each category.

The library associates boxes and knows neither categories nor masks. Categories are kept apart here by a tracker of
its own for each. Association by masks is in the library only together with a video segmentation network (McByte) and
is not used: the boxes are those of the visible parts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from goodfit.errors import SettingsError

if TYPE_CHECKING:
    import numpy.typing as npt
    from trackers import ByteTrackTracker, OCSORTTracker

    from goodfit.tasks.instances.detection import Detection

    Ids = npt.NDArray[np.int64]

Method = Literal["bytetrack", "ocsort"]

_METHODS: dict[str, Method] = {"bytetrack": "bytetrack", "ocsort": "ocsort"}

UNTRACKED = -1
"""Number of a detection that belongs to no track."""

_LIBRARY_RATE = 30.0
"""The library counts how long it remembers in frames of 30 per second."""

_SAME_BOX = 0.7
"""Overlap from which a track's own box and that of a detection are the same: filtering moves it by little."""


def method_named(name: str) -> Method:
    """Give the tracker of this name.

    Raises:
        SettingsError: there is none.
    """
    if name not in _METHODS:
        raise SettingsError(f"tracker {name!r} is unknown. Choose bytetrack or ocsort.")
    return _METHODS[name]


@dataclass(frozen=True)
class TrackingSettings:
    """How detections become tracks.

    Attributes:
        method: ByteTrack (Zhang et al. 2022), which lets unsure detections continue a track, or OC-SORT (Cao et al.
            2023), which follows bent ways better but takes sure detections only.
        start_score: smallest score that begins a track.
        keep_score: smallest score that continues one (ByteTrack).
        memory: seconds for which an object that is not seen keeps its identity.
        overlap: smallest IoU of a detection with the place where the track is expected.
        confirmations: detections in a row that make a track; fewer are taken for false alarms.
    """

    method: Method = "bytetrack"
    start_score: float = 0.5
    keep_score: float = 0.1
    memory: float = 2.0
    overlap: float = 0.1
    confirmations: int = 2

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            SettingsError: a value is out of range.
        """
        method_named(self.method)
        if not 0 <= self.keep_score <= self.start_score <= 1:
            raise SettingsError(
                f"tracking from score {self.start_score}, kept down to {self.keep_score}: "
                "give 0 <= keep_score <= start_score <= 1."
            )
        if self.memory < 0 or not 0 < self.overlap < 1 or self.confirmations < 1:
            raise SettingsError(
                f"tracking with memory {self.memory} s, overlap {self.overlap}, {self.confirmations} confirmations: "
                "give a memory from 0, an overlap between 0 and 1 and at least 1 confirmation."
            )


@dataclass(frozen=True)
class Correction:
    """A track that is now confirmed began earlier.

    Attributes:
        ago: number of updates before the latest one.
        place: of the detection among those of that update.
        identity: the number it should have had.
    """

    ago: int
    place: int
    identity: int


class Tracker:
    """Follows the objects of one video; its identities count from 1 in order of confirmation.

    Args:
        settings: how.
        rate: updates per second as they usually come: frames per second of the video over the stride.
    """

    def __init__(self, settings: TrackingSettings, rate: float) -> None:
        self._settings = settings
        self._rate = rate
        self._trackers: dict[int, _OneCategory] = {}
        self._known: dict[tuple[int, int], int] = {}
        self._last = -np.inf
        self.corrections: list[Correction] = []
        """What the latest update told about detections of earlier ones, at most ``lag`` updates ago."""

    @property
    def lag(self) -> int:
        """Updates after which the identities of a frame are final."""
        return self._settings.confirmations

    def update(self, detection: Detection, time: float) -> Ids:
        """Take the detections of the next frame.

        Args:
            detection: what was found, anything from ``keep_score``; less is left untracked.
            time: of the frame, in seconds; later than that of the update before.

        Returns:
            (N,) identities, ``UNTRACKED`` where there is none (yet; see ``corrections``).
        """
        assert time > self._last, "frames come in the order of time"
        self._last = time
        self.corrections = []
        identities = np.full(len(detection), UNTRACKED, np.int64)
        taken = detection.scores >= self._settings.keep_score
        for category in sorted({*self._trackers, *(int(category) for category in detection.categories[taken])}):
            if category not in self._trackers:
                self._trackers[category] = _OneCategory(self._settings, self._rate)
            places = np.flatnonzero(taken & (detection.categories == category))
            tracker = self._trackers[category]
            numbers = tracker.update(detection.boxes[places], detection.scores[places], places, time)
            for place, number in zip(places, numbers, strict=True):
                if number != UNTRACKED:
                    identities[place] = self._identity(category, int(number))
            self.corrections += [
                Correction(ago, place, self._identity(category, number)) for ago, place, number in tracker.confirmed()
            ]
        return identities

    def _identity(self, category: int, number: int) -> int:
        return self._known.setdefault((category, number), len(self._known) + 1)


class _OneCategory:
    """The library's tracker for one category, with a memory of the detections that began its tracks."""

    def __init__(self, settings: TrackingSettings, rate: float) -> None:
        self._tracker = _library_tracker(settings, rate)
        self._unconfirmed: deque[list[tuple[object, int]]] = deque(maxlen=settings.confirmations + 1)

    def update(self, boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], places: Ids, time: float) -> Ids:
        """Give the library's numbers, in the order of the boxes (N, 4); ``places`` are theirs in the whole frame."""
        import supervision

        given = supervision.Detections(
            xyxy=boxes.reshape(-1, 4), confidence=scores, data={"place": np.arange(len(boxes), dtype=np.int64)}
        )
        found = self._tracker.update(given, timestamp=time)
        numbers = np.full(len(boxes), UNTRACKED, np.int64)
        if len(found):
            numbers[np.asarray(found.data["place"])] = np.asarray(found.tracker_id)
        self._unconfirmed.append(self._complete(boxes, numbers, places))
        return numbers

    def confirmed(self) -> list[tuple[int, int, int]]:
        """Give (updates ago, place, number) of earlier detections whose track is confirmed now, and forget them."""
        found = []
        latest = len(self._unconfirmed) - 1
        for index, entries in enumerate(self._unconfirmed):
            done = [(track, place) for track, place in entries if _number(track) != UNTRACKED]
            found += [(latest - index, place, _number(track)) for track, place in done]
            entries[:] = [entry for entry in entries if entry not in done]
        return found

    def _complete(self, boxes: npt.NDArray[np.float32], numbers: Ids, places: Ids) -> list[tuple[object, int]]:
        """Match the tracks that were given out no number with the detections that got none.

        OC-SORT keeps the number of a track that was lost to itself for some updates: it is filled in here.

        Returns:
            Tracks that are not confirmed yet, with the places of their detections.
        """
        import supervision

        tracks = [
            track for track in self._tracker.tracks if _number(track) == UNTRACKED or _number(track) not in numbers
        ]
        free = np.flatnonzero(numbers == UNTRACKED)
        if not tracks or not len(free):
            return []
        own = np.stack([track.get_state_bbox() for track in tracks])
        overlaps = supervision.box_iou_batch(own, boxes[free])
        unconfirmed: list[tuple[object, int]] = []
        for track, place, overlap in zip(tracks, free[overlaps.argmax(1)], overlaps.max(1), strict=True):
            if overlap < _SAME_BOX:
                continue
            if _number(track) == UNTRACKED:
                unconfirmed.append((track, int(places[place])))
            else:
                numbers[place] = _number(track)
        return unconfirmed


def _number(track: object) -> int:
    return int(getattr(track, "tracker_id", UNTRACKED))


def _library_tracker(settings: TrackingSettings, rate: float) -> ByteTrackTracker | OCSORTTracker:
    from trackers import ByteTrackTracker, OCSORTTracker
    from trackers.utils.state_representations import XYXYStateEstimator

    # OC-SORT's own choice, the box's area and aspect, becomes negative in long occlusions, which the library cannot bear.
    remembered = round(settings.memory * _LIBRARY_RATE)
    if settings.method == "ocsort":
        return OCSORTTracker(
            lost_track_buffer=remembered,
            frame_rate=rate,
            minimum_consecutive_frames=settings.confirmations,
            minimum_iou_threshold=settings.overlap,
            high_conf_det_threshold=settings.start_score,
            state_estimator_class=XYXYStateEstimator,
        )
    return ByteTrackTracker(
        lost_track_buffer=remembered,
        frame_rate=rate,
        track_activation_threshold=settings.start_score,
        minimum_consecutive_frames=settings.confirmations,
        minimum_iou_threshold=settings.overlap,
        high_conf_det_threshold=settings.start_score,
    )
