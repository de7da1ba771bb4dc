"""Predicting a video: an overlay video and tables of the tracks."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from goodfit.data.video.decode import iterate_frames
from goodfit.data.video.index import open_video
from goodfit.data.video.write import VideoWriter
from goodfit.errors import SettingsError
from goodfit.tasks.instances.tracking import UNTRACKED, Tracker, TrackingSettings, follow
from goodfit.tasks.instances.video_prediction.drawing import Artist, Style
from goodfit.tasks.instances.video_prediction.marks import Found, Timeline
from goodfit.tasks.instances.video_prediction.tables import TrackTables
from goodfit.tasks.instances.video_prediction.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from goodfit.tasks.instances.detection import Detection
    from goodfit.tasks.instances.video_prediction.workers import Channel

    Image = npt.NDArray[np.uint8]
    Detect = Callable[[list[Image]], list[Detection]]
    Looked = tuple[int, float, Detection]

_WAITING = 4
"""Frames that may wait between two threads."""

DEFAULT_TRACKING = TrackingSettings()

SHOWN_SCORE = 0.5
"""Smallest score that is shown where there are no tracks."""


@dataclass(frozen=True)
class PredictedVideo:
    """What was written.

    Attributes:
        frames: in the video.
        looked_at: frames that went through the network.
        tracks: number of identities.
        video: the overlay.
        tables: "json", "csv" and "mot" -> file.
    """

    frames: int
    looked_at: int
    tracks: int
    video: Path
    tables: dict[str, Path]


def predict_video(
    detect: Detect,
    source: Path,
    output: Path,
    *,
    categories: Sequence[str],
    stride: int = 1,
    batch: int = 4,
    tracking: TrackingSettings | None = DEFAULT_TRACKING,
    score: float = SHOWN_SCORE,
    on_found: Callable[[Found], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> PredictedVideo:
    """Detect, track, draw and write, all at the same time; memory does not grow with the video's length.

    The video is decoded twice, once for the network and once for drawing, so that no frame has to be kept while its
    instances are waited for. With a stride, tracks move in a straight line between the frames looked at; the tables
    list the frames looked at only. With tracking, what belongs to no track is left out; without, what scores less
    than ``score``.

    Args:
        detect: gives the instances of each of a list of images (H, W, 3) uint8 RGB; called in this thread.
        source: the video.
        output: .mp4; beside it come NAME.tracks.json (COCO with track_id), NAME.tracks.csv and NAME.mot.txt.
        categories: names, for category 1 on.
        stride: look at the frames whose number it divides.
        batch: images given to ``detect`` at once.
        tracking: how; None for no tracks.
        score: smallest score that is kept without tracking.
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
    total, looked_at = index.frame_count, 0
    artist = Artist(categories, Style.for_size(index.height, index.width))
    with ExitStack() as stack:
        tables = stack.enter_context(TrackTables(files, index, categories))
        writer = stack.enter_context(VideoWriter(output, index.width, index.height, source=index))
        workers = stack.enter_context(Workers())
        decoded: Channel[tuple[int, float, Image]] = workers.channel(batch + _WAITING)
        looked: Channel[Looked] = workers.channel(batch + _WAITING)
        found: Channel[Found] = workers.channel(batch + _WAITING)
        reread: Channel[tuple[int, float, Image]] = workers.channel(_WAITING)
        drawn: Channel[tuple[float, Image]] = workers.channel(_WAITING)

        def tracked() -> Iterator[Found]:
            nonlocal looked_at
            for entry in _tracked(looked, tracking, index.fps / stride, score):
                looked_at += 1
                tables.add(entry)
                if on_found is not None:
                    on_found(entry)
                yield entry

        def encode() -> None:
            for done, (time, image) in enumerate(drawn, start=1):
                writer.add(image, time)
                if on_progress is not None:
                    on_progress(done, total)

        workers.start("decoding", lambda: decoded.fill(iterate_frames(index, stride)))
        workers.start("tracking", lambda: found.fill(tracked()))
        workers.start("reading", lambda: reread.fill(iterate_frames(index)))
        workers.start("drawing", lambda: drawn.fill(_drawn(reread, iter(found), artist)))
        workers.start("encoding", encode)
        workers.run("the network", lambda: looked.fill(_looked(detect, decoded, batch)))
    return PredictedVideo(total, looked_at, len(tables.identities), output, files)


def _looked(detect: Detect, frames: Iterable[tuple[int, float, Image]], batch: int) -> Iterator[Looked]:
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
    masks = detection.masks
    return replace(
        detection,
        boxes=detection.boxes[kept],
        scores=detection.scores[kept],
        categories=detection.categories[kept],
        masks=[masks[place] for place in np.flatnonzero(kept)] if masks is not None else None,
    )


def _drawn(
    frames: Iterable[tuple[int, float, Image]], found: Iterator[Found], artist: Artist
) -> Iterator[tuple[float, Image]]:
    timeline = Timeline(found)
    for number, time, image in frames:
        artist.draw(image, timeline.at(number))
        yield time, image
    # After frames that are damaged at the end, nobody has asked for the last instances; they belong into the tables.
    for _ in found:
        pass
