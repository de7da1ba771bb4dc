"""Predicting images: a picture with its overlay for each, and one COCO file with all instances."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.data.instances.pictures import read_picture
from goodfit.errors import ImageFileError, SettingsError
from goodfit.files import replacing, write_json
from goodfit.tasks.instances.tracking import UNTRACKED
from goodfit.tasks.instances.video_prediction.drawing import Artist, Style
from goodfit.tasks.instances.video_prediction.marks import marks_of
from goodfit.tasks.instances.video_prediction.tables import annotations_of, category_entries, distance_entry
from goodfit.tasks.instances.video_prediction.unusual import FrameLog
from goodfit.tasks.instances.video_prediction.video import SHOWN_SCORE, chosen, unchanged
from goodfit.tasks.instances.video_prediction.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from goodfit.tasks.instances.detection import Detection
    from goodfit.tasks.instances.video_prediction.video import Detect, Image, Prepare
    from goodfit.tasks.instances.video_prediction.workers import Channel

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
PREDICTIONS = "predictions.json"
FRAMES = "frames.csv"
_WAITING = 4


@dataclass(frozen=True)
class PredictedImages:
    """What was written.

    Attributes:
        images: how many.
        instances: how many were found in them.
        predictions: COCO file with images, categories and annotations that have scores.
        names: of the images, in order.
        log: of the images, which count as frames of one second.
        frames: CSV with a row for each image.
    """

    images: int
    instances: int
    predictions: Path
    names: list[str]
    log: FrameLog
    frames: Path


def predict_images(
    detect: Detect,
    source: Path,
    output: Path,
    *,
    categories: Sequence[str],
    prepare: Prepare = unchanged,
    batch: int = 4,
    score: float = SHOWN_SCORE,
    unusual_from: float | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> PredictedImages:
    """Predict an image, or all images below a folder.

    Args:
        detect: gives the instances of each of a list of what ``prepare`` made; called in this thread.
        source: an image or a folder.
        output: a folder: receives the overlays under the names of the images, as PNG, predictions.json and frames.csv.
        categories: names, for category 1 on.
        prepare: makes of an image (H, W, 3) uint8 RGB what the network takes; called in the reader's thread.
        batch: images given to ``detect`` at once.
        score: smallest score that is drawn and counted; predictions.json lists all that ``detect`` gives.
        unusual_from: distance from the training frames from which an image is unusual, where ``detect`` measures it.
        on_progress: told (images done, images); from another thread.

    Raises:
        ImageFileError: there is no image.
        SettingsError: batch is not positive, or overlays would overwrite the images.
        StageError: an image cannot be read, or the disk is full.
        StageCrashError: anything else fails on the way, as ``detect``.
    """
    if batch < 1:
        raise SettingsError(f"batch {batch} is a count. Give a whole number from 1.")
    files = _images_of(source)
    base = source if source.is_dir() else source.parent
    if output.exists() and output.samefile(base):
        raise SettingsError(f"{output}: the overlays would lie among the images. Choose another output folder.")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    log = FrameLog(unusual_from)
    with ExitStack() as stack:
        workers = stack.enter_context(Workers())
        read: Channel[tuple[Path, Image, Any]] = workers.channel(batch + _WAITING)
        found: Channel[tuple[Path, Image, Detection]] = workers.channel(batch + _WAITING)

        def draw() -> None:
            for done, (file, image, detection) in enumerate(found, start=1):
                height, width = image.shape[:2]
                name = file.relative_to(base).as_posix()
                distance = distance_entry(detection.distance)
                images.append({"id": done, "file_name": name, "width": width, "height": height, **distance})
                annotations.extend(annotations_of(detection, done, len(annotations) + 1))
                shown = chosen(detection, detection.scores >= score)
                log.add(done - 1, float(done - 1), len(shown), detection.distance)
                marks = marks_of(shown, np.full(len(shown), UNTRACKED, np.int64))
                Artist(categories, Style.for_size(height, width)).draw(image, marks)
                _save(image, output / overlay_name(name))
                if on_progress is not None:
                    on_progress(done, len(files))

        def pictures() -> Iterator[tuple[Path, Image, Any]]:
            for file in files:
                image = read_picture(file)
                yield file, image, prepare(image)

        workers.start("reading", lambda: read.fill(pictures()))
        workers.start("drawing", draw)
        workers.run("the network", lambda: found.fill(_looked(detect, iter(read), batch)))
    content = {"images": images, "categories": category_entries(categories), "annotations": annotations}
    write_json(output / PREDICTIONS, content)
    log.write(output / FRAMES)
    names = [image["file_name"] for image in images]
    return PredictedImages(len(images), len(annotations), output / PREDICTIONS, names, log, output / FRAMES)


def overlay_name(name: str) -> str:
    """Give the overlay's name; the ending stays in it, since a.png and a.jpg may be side by side."""
    return f"{name}.png" if not name.lower().endswith(".png") else name


def _images_of(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.exists():
        raise ImageFileError(f"{source}: there is no such file or folder.")
    files = sorted(
        Path(folder) / name
        for folder, _, names in os.walk(source)
        for name in names
        if name.lower().endswith(ENDINGS) and not name.startswith(".")
    )
    if not files:
        raise ImageFileError(f"{source}: there is no image below this folder ({', '.join(ENDINGS)}).")
    return files


def _looked(
    detect: Detect, read: Iterator[tuple[Path, Image, Any]], batch: int
) -> Iterator[tuple[Path, Image, Detection]]:
    while taken := list(islice(read, batch)):
        results = detect([prepared for _, _, prepared in taken])
        if len(results) != len(taken):
            raise ValueError(f"{len(results)} results for {len(taken)} images")
        for (file, image, _), detection in zip(taken, results, strict=True):
            yield file, image, detection


def _save(image: Image, file: Path) -> None:
    from PIL import Image as Pictures

    with replacing(file) as temporary:
        Pictures.fromarray(image).save(temporary, format="PNG", compress_level=1)
