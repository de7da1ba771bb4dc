"""Predicting a video: an overlay video and tables of the tracks."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.data.video.decode import FramePixels, iterate_decoded
from goodfit.data.video.index import open_video
from goodfit.data.video.write import VideoWriter
from goodfit.errors import SettingsError
from goodfit.tasks.instances.pasting import PastedMasks
from goodfit.tasks.instances.tracking import UNTRACKED, Tracker, TrackingSettings, follow
from goodfit.tasks.instances.video_prediction.drawing import Artist, Style
from goodfit.tasks.instances.video_prediction.marks import Found, Timeline
from goodfit.tasks.instances.video_prediction.tables import TrackTables
from goodfit.tasks.instances.video_prediction.unusual import FrameLog
from goodfit.tasks.instances.video_prediction.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt
    from av.video.frame import VideoFrame

    from goodfit.data.video.index import VideoIndex
    from goodfit.tasks.instances.detection import Detection
    from goodfit.tasks.instances.video_prediction.tables import Track
    from goodfit.tasks.instances.video_prediction.workers import Channel

    Image = npt.NDArray[np.uint8]
    Prepare = Callable[[Image], Any]
    Detect = Callable[[list[Any]], list[Detection]]
    Looked = tuple[int, float, Detection]
    Decoded = tuple[int, float, VideoFrame]

_WAITING = 4
"""Frames that may wait between two threads."""
KEPT_BYTES = 256 * 2**20
"""Decoded frames that may wait for their instances; where they would be more, the video is decoded a second time."""
_PIXEL_BYTES = 3
"""Of a decoded frame at most: 1.5 as most videos are stored, twice that with more than eight bits."""

DEFAULT_TRACKING = TrackingSettings()

SHOWN_SCORE = 0.5
"""Smallest score that is shown where there are no tracks."""


@dataclass(frozen=True)
class PredictedVideo:
    """What was written.

    Attributes:
        frames: in the video.
        looked_at: frames that went through the network.
        tracks: identity -> when it is seen.
        video: the overlay.
        tables: "json", "csv", "mot" and "frames" -> file.
        log: of the frames looked at.
    """

    frames: int
    looked_at: int
    tracks: dict[int, Track]
    video: Path
    tables: dict[str, Path]
    log: FrameLog


def unchanged(image: Image) -> Image:
    """Give the image itself: the way into a network that takes images as they are."""
    return image


def predict_video(
    detect: Detect,
    source: Path,
    output: Path,
    *,
    categories: Sequence[str],
    prepare: Prepare = unchanged,
    stride: int = 1,
    batch: int = 4,
    tracking: TrackingSettings | None = DEFAULT_TRACKING,
    score: float = SHOWN_SCORE,
    unusual_from: float | None = None,
    on_found: Callable[[Found], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> PredictedVideo:
    """Detect, track, draw and write, all at the same time; memory does not grow with the video's length.

    Decoded frames wait for their instances as the decoder gave them. Where a long stride would make too many wait, the
    video is decoded twice, once for the network and once for drawing. With a stride, tracks move in a straight line
    between the frames looked at; the tables list the frames looked at only. With tracking, what belongs to no track is
    left out; without, what scores less than ``score``.

    Args:
        detect: gives the instances of each of a list of what ``prepare`` made; called in this thread.
        source: the video.
        output: .mp4; beside it come NAME.tracks.json (COCO with track_id), NAME.tracks.csv, NAME.mot.txt and
            NAME.frames.csv (a row for each frame looked at).
        categories: names, for category 1 on.
        prepare: makes of an image (H, W, 3) uint8 RGB what the network takes; called in the decoder's thread.
        stride: look at the frames whose number it divides.
        batch: images given to ``detect`` at once.
        tracking: how; None for no tracks.
        score: smallest score that is kept without tracking.
        unusual_from: distance from the training frames from which a frame is unusual, where ``detect`` measures it.
        on_found: told about each frame looked at, in order, with what is kept of it; from another thread.
        on_progress: told (frames written, frames of the video); from another thread.

    Raises:
        VideoError: the source is no video that can be read, or the output's ending is not that of a video.
        SettingsError: stride or batch is not positive, or the output is the source.
        StageError: reading or writing fails on the way; nothing is left of the output.
        StageCrashError: anything else fails on the way, as ``detect``; nothing is left of the output.
    """
    if stride < 1 or batch < 1:
        raise SettingsError(f"stride {stride} and batch {batch} are counts. Give whole numbers from 1.")
    if output.exists() and source.exists() and output.samefile(source):
        raise SettingsError(f"{output}: this is the video itself. Choose another output.")
    index = open_video(source)
    files = {
        "json": output.with_suffix(".tracks.json"),
        "csv": output.with_suffix(".tracks.csv"),
        "mot": output.with_suffix(".mot.txt"),
    }
    total, log = index.frame_count, FrameLog(unusual_from)
    artist = Artist(categories, Style.for_size(index.height, index.width))
    kept_frames = frames_waiting(stride, batch, tracking)
    with ExitStack() as stack:
        tables = stack.enter_context(TrackTables(files, index, categories))
        writer = stack.enter_context(VideoWriter(output, index.width, index.height, source=index, quick=True))
        workers = stack.enter_context(Workers())
        decoded: Channel[tuple[int, float, Any]] = workers.channel(batch + _WAITING)
        looked: Channel[Looked] = workers.channel(batch + _WAITING)
        found: Channel[Found] = workers.channel(batch + _WAITING)
        drawn: Channel[tuple[float, Image]] = workers.channel(_WAITING)
        kept: Channel[Decoded] | None = None
        if kept_frames * index.width * index.height * _PIXEL_BYTES <= KEPT_BYTES:
            kept = workers.channel(kept_frames)

        def decode() -> Iterator[tuple[int, float, Any]]:
            pixels = FramePixels(index)
            for number, time, frame in iterate_decoded(index):
                if number % stride == 0:
                    yield number, time, prepare(pixels.image(frame))
                if kept is not None:
                    kept.put((number, time, frame))
            if kept is not None:
                kept.close()

        def tracked() -> Iterator[Found]:
            for entry in _tracked(looked, tracking, index.fps / stride, score):
                log.add(entry.number, entry.time, len(entry.detection), entry.detection.distance)
                tables.add(entry)
                if on_found is not None:
                    on_found(entry)
                yield entry

        def encode() -> None:
            for done, (time, image) in enumerate(drawn, start=1):
                writer.add(image, time)
                if on_progress is not None:
                    on_progress(done, total)

        workers.start("decoding", lambda: decoded.fill(decode()))
        workers.start("tracking", lambda: found.fill(tracked()))
        again: Iterable[Decoded] = kept if kept is not None else iterate_decoded(index)
        workers.start("drawing", lambda: drawn.fill(_drawn(again, index, iter(found), artist)))
        workers.start("encoding", encode)
        workers.run("the network", lambda: looked.fill(_looked(detect, decoded, batch)))
    frames_file = output.with_suffix(".frames.csv")
    log.write(frames_file)
    return PredictedVideo(total, len(log), tables.tracks, output, {**files, "frames": frames_file}, log)


def frames_waiting(stride: int, batch: int, tracking: TrackingSettings | None) -> int:
    """Give the number of decoded frames that have to be kept so that no thread ever waits for a frame that waits for it.

    Before a frame is drawn, the next one looked at must be known; the tracker tells it when it has seen some more, and
    the network takes a whole batch at a time. A second batch lets decoding go on while the network works.
    """
    lag = 0 if tracking is None else tracking.confirmations
    return stride * (2 * batch + lag + 3) + _WAITING


def _looked(detect: Detect, frames: Iterable[tuple[int, float, Any]], batch: int) -> Iterator[Looked]:
    """Run the network on some frames at a time."""
    waiting = iter(frames)
    while taken := list(islice(waiting, batch)):
        found = detect([image for _, _, image in taken])
        if len(found) != len(taken):
            raise ValueError(f"{len(found)} results for {len(taken)} images")
        for (number, time, _), detection in zip(taken, found, strict=True):
            yield number, time, detection


def _tracked(looked: Iterable[Looked], tracking: TrackingSettings | None, rate: float, score: float) -> Iterator[Found]:
    """Give identities, and leave out what is not to be shown."""
    if tracking is None:
        for number, time, detection in looked:
            kept = detection.scores >= score
            yield Found(number, time, chosen(detection, kept), np.full(int(kept.sum()), UNTRACKED, np.int64))
        return
    items = (((number, time), detection, time) for number, time, detection in looked)
    for (number, time), detection, identities in follow(Tracker(tracking, rate), items):
        kept = identities != UNTRACKED
        yield Found(number, time, chosen(detection, kept), identities[kept])


def chosen(detection: Detection, kept: npt.NDArray[np.bool_]) -> Detection:
    """Keep some of the instances."""
    masks, places = detection.masks, np.flatnonzero(kept)
    if isinstance(masks, PastedMasks):
        masks = masks.chosen(places)
    elif masks is not None:
        masks = [masks[int(place)] for place in places]
    return replace(
        detection,
        boxes=detection.boxes[kept],
        scores=detection.scores[kept],
        categories=detection.categories[kept],
        masks=masks,
    )


def _drawn(
    frames: Iterable[Decoded], index: VideoIndex, found: Iterator[Found], artist: Artist
) -> Iterator[tuple[float, Image]]:
    timeline, pixels = Timeline(found), FramePixels(index)
    for number, time, frame in frames:
        image = pixels.image(frame)
        artist.draw(image, timeline.at(number))
        yield time, image
    # After frames that are damaged at the end, nobody has asked for the last instances; they belong into the tables.
    for _ in found:
        pass
