"""Choosing the frames that the report shows, finding their pixels, and drawing them."""

from __future__ import annotations

import base64
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from goodfit.data.instances.dataset import open_instances
from goodfit.data.instances.model import ImageSource
from goodfit.data.instances.pictures import read_picture
from goodfit.errors import DatasetError, GoodfitError
from goodfit.preprocessing.frames import FrameStore
from goodfit.reporting.instances.drawing import draw_frame
from goodfit.tasks.instances.results import read_results
from goodfit.tasks.instances.scores import apart

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from goodfit.data.instances.model import Frame, InstanceDataset
    from goodfit.reporting.instances.content import InstanceContent
    from goodfit.tasks.instances.scores import FrameScores, InstanceScores

logger = logging.getLogger(__name__)

_COUNTS = {"worst": 6, "median": 3, "best": 3}
PREDICTIONS = "test.json"
"""Within the run's folder of predictions."""


@dataclass(frozen=True)
class Tile:
    """One frame of a mosaic.

    Attributes:
        name: of the frame.
        caption: its quality, and what went right and wrong.
        source: the picture as a data URL; "" where there is none.
        width: pixels.
        height: pixels.
        problem: empty, or why there is no picture.
    """

    name: str
    caption: str
    source: str
    width: int
    height: int
    problem: str = ""


@dataclass(frozen=True)
class Mosaic:
    """Frames of one rank: worst, median or best."""

    rank: str
    tiles: list[Tile]


@dataclass(frozen=True)
class Mosaics:
    """All pictures of a report, or why there are none."""

    mosaics: list[Mosaic]
    problem: str = ""


def choose_frames(scores: InstanceScores) -> dict[str, list[FrameScores]]:
    """Pick the worst, some median and the best frames by quality, none twice and no close neighbours."""
    ranked = scores.ranked()
    places = sorted(range(len(ranked)), key=lambda place: abs(place - (len(ranked) - 1) / 2))
    middle = [ranked[place] for place in places]
    chosen: dict[str, list[FrameScores]] = {}
    taken: set[str] = set()
    for rank, order in (("worst", ranked), ("best", ranked[::-1]), ("median", middle)):
        left = [frame for frame in order if frame.name not in taken]
        chosen[rank] = apart(left, scores.per_frame, _COUNTS[rank])
        taken |= {frame.name for frame in chosen[rank]}
    return {rank: chosen[rank] for rank in _COUNTS if chosen[rank]}


def draw_mosaics(content: InstanceContent) -> Mosaics:
    """Draw the chosen frames; says why where dataset or detections cannot be read."""
    scores, plan = content.scores, content.plan
    if scores is None or plan is None:
        return Mosaics([])
    chosen = choose_frames(scores)
    try:
        dataset = _open(content)
        frames = {one.name: dataset.frame(one.name) for ranked in chosen.values() for one in ranked}
        found = read_results(content.run.predictions / PREDICTIONS, list(frames.values()), dataset)
    except GoodfitError as error:
        return Mosaics([], str(error))
    detections = dict(zip(frames, found, strict=True))
    store = _store(content)
    mosaics = []
    for rank, ranked in chosen.items():
        drawn = []
        for one in ranked:
            caption = f"Quality {one.quality:.2f}: {one.what}"
            try:
                image = frame_pixels(frames[one.name], store)
            except GoodfitError as error:
                drawn.append(Tile(one.name, caption, "", 0, 0, str(error)))
                continue
            picture, width, height = draw_frame(
                image,
                frames[one.name],
                detections[one.name],
                plan.data.categories,
                masks=scores.main == "mask",
                score=scores.confusion.score,
            )
            source = f"data:image/jpeg;base64,{base64.b64encode(picture).decode('ascii')}"
            drawn.append(Tile(one.name, caption, source, width, height))
        mosaics.append(Mosaic(rank, drawn))
    return Mosaics(mosaics)


def _open(content: InstanceContent) -> InstanceDataset:
    place, settings = content.record.get("dataset"), content.record.get("settings")
    if not isinstance(place, str):
        raise DatasetError(f"{content.run.record}: does not name the dataset.")
    group_by = settings.get("data.group_by") if isinstance(settings, dict) else None
    return open_instances(Path(place), group_by=group_by if isinstance(group_by, str) else None)


def _store(content: InstanceContent) -> FrameStore | None:
    place = content.record.get("frames")
    return FrameStore(Path(place)) if isinstance(place, str) and Path(place).is_dir() else None


def frame_pixels(frame: Frame, store: FrameStore | None) -> npt.NDArray[np.uint8]:
    """Read a frame (H, W, 3) as it was preprocessed, else from its image or video.

    Raises:
        GoodfitError: it cannot be read there either.
    """
    if store is not None:
        try:
            return store.get(frame.name)
        except DatasetError as error:
            logger.info("%s; taken from the dataset", error)
    if isinstance(frame.source, ImageSource):
        return read_picture(frame.source.path, frame.height, frame.width)
    # Imported here, since PyAV comes with it.
    from goodfit.data.video.decode import read_frames

    return next(image for _, image in read_frames(frame.source.path, [frame.source.frame]))
