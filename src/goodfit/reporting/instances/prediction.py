"""The page beside a predicted video or in a folder of predicted images: tracks, and frames unlike the training frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from goodfit.data.wording import counted
from goodfit.files import write_text
from goodfit.reporting.instances.distances import over_time
from goodfit.reporting.rendering import fill_template
from goodfit.reporting.tables import Cell, Table, Tile
from goodfit.tasks.instances.video_prediction.unusual import ranges

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from goodfit.reporting.plotting import Figure
    from goodfit.tasks.instances.video_prediction.images import PredictedImages
    from goodfit.tasks.instances.video_prediction.unusual import FrameLog, TimeRange
    from goodfit.tasks.instances.video_prediction.video import PredictedVideo

_TEMPLATE = "prediction.html.j2"
_MOST_LISTED = 500


def write_video_page(path: Path, name: str, seen: PredictedVideo, categories: Sequence[str]) -> Path:
    """Write the page of a video.

    Args:
        path: of the page.
        name: of the video.
        seen: what was found in it.
        categories: names, for category 1 on.

    Returns:
        ``path``.
    """
    log = seen.log
    stretches = ranges(log.times, log.unusual)
    tiles = [
        Tile("frames", f"{seen.frames:,}", f"{seen.looked_at:,} looked at"),
        Tile("tracks", f"{len(seen.tracks):,}", f"{log.instances.sum():,} instances"),
        *_unusual_tile(log, counted(len(stretches), "time range")),
    ]
    figures = _figures(log, "seconds", log.times, stretches)
    page = fill_template(
        _TEMPLATE,
        figures,
        title=name,
        tiles=tiles,
        verdict=_verdict(log, "frame"),
        over="time",
        threshold=log.unusual_from,
        unusual=_stretch_table(log, stretches),
        unusual_title="Time ranges with unusual frames",
        nothing_unusual="No frame is unusual.",
        tracks=_track_table(seen, categories),
        files=sorted(file.name for file in [seen.video, *seen.tables.values()]),
    )
    write_text(path, page)
    return path


def write_images_page(path: Path, name: str, done: PredictedImages) -> Path:
    """Write the page of a folder of images, or of one image.

    Args:
        path: of the page.
        name: of the folder.
        done: what was found in it.

    Returns:
        ``path``.
    """
    log = done.log
    tiles = [
        Tile("images", f"{done.images:,}"),
        Tile("instances", f"{log.instances.sum():,}", "drawn"),
        *_unusual_tile(log, counted(done.images, "image")),
    ]
    places = np.arange(1, len(log) + 1).astype(np.float64)
    page = fill_template(
        _TEMPLATE,
        _figures(log, "image", places, (), done.names),
        title=name,
        tiles=tiles,
        verdict=_verdict(log, "image"),
        over="images",
        threshold=log.unusual_from,
        unusual=_image_table(log, done.names),
        unusual_title="Unusual images",
        nothing_unusual="No image is unusual.",
        tracks=None,
        files=sorted(file.name for file in (done.predictions, done.frames)),
    )
    write_text(path, page)
    return path


def _figures(
    log: FrameLog, axis: str, places: npt.NDArray[np.float64], stretches: Sequence[TimeRange], names: Sequence[str] = ()
) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    if not len(log):
        return figures
    if log.unusual_from is not None:
        figures["distance"] = over_time(
            places,
            log.distances,
            title="distance",
            axis=axis,
            threshold=log.unusual_from,
            stretches=stretches,
            names=names,
        )
    figures["instances"] = over_time(
        places, log.instances.astype(np.float64), title="instances", axis=axis, stretches=stretches, names=names
    )
    return figures


def _verdict(log: FrameLog, what: str) -> str:
    if log.unusual_from is None:
        return f"{counted(len(log), what)} looked at."
    flagged = int(log.unusual.sum())
    if not flagged:
        return f"{counted(len(log), what)} looked at, none of them unlike the training frames."
    return f"{counted(len(log), what)} looked at, {flagged} of them unlike the training frames."


def _unusual_tile(log: FrameLog, note: str) -> list[Tile]:
    return [] if log.unusual_from is None else [Tile("unusual", f"{int(log.unusual.sum()):,}", note)]


def _stretch_table(log: FrameLog, stretches: Sequence[TimeRange]) -> Table:
    rows, distances = [], log.distances
    for one in stretches[:_MOST_LISTED]:
        largest = float(distances[one.first : one.last + 1].max())
        rows.append(
            [
                Cell(f"{clock(one.start)} to {clock(one.end)}", f"{one.start:012.3f}"),
                Cell(f"{one.end - one.start:.2f}", repr(one.end - one.start)),
                Cell(f"{one.frames:,}", str(one.frames)),
                Cell(f"{largest:.2f}", repr(largest)),
            ]
        )
    return Table(["from, to", "seconds", "unusual frames", "largest distance"], rows)


def _image_table(log: FrameLog, names: Sequence[str]) -> Table:
    distances = log.distances
    places = sorted(np.flatnonzero(log.unusual).tolist(), key=lambda place: -distances[place])
    rows = [
        [Cell(names[place], names[place]), Cell(f"{distances[place]:.2f}", repr(float(distances[place])))]
        for place in places[:_MOST_LISTED]
    ]
    return Table(["image", "distance"], rows)


def _track_table(seen: PredictedVideo, categories: Sequence[str]) -> Table:
    rows = []
    for identity, track in sorted(seen.tracks.items())[:_MOST_LISTED]:
        name = categories[track.category - 1]
        rows.append(
            [
                Cell(f"{name} {identity}", f"{identity:09d}"),
                Cell(clock(track.first), repr(track.first)),
                Cell(clock(track.last), repr(track.last)),
                Cell(f"{track.frames:,}", str(track.frames)),
            ]
        )
    return Table(["track", "first seen", "last seen", "frames"], rows)


def clock(seconds: float) -> str:
    """Write a time as players show it: 1:02:03.4, 2:03.4."""
    tenths = round(10 * seconds)
    hours, rest = divmod(tenths, 36000)
    minutes, rest = divmod(rest, 600)
    shown = f"{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{minutes:02d}:{shown}" if hours else f"{minutes}:{shown}"
