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
from goodfit.tasks.instances.video_prediction.tables import annotations_of, category_entries
from goodfit.tasks.instances.video_prediction.video import SHOWN_SCORE, chosen
from goodfit.tasks.instances.video_prediction.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from goodfit.tasks.instances.detection import Detection
    from goodfit.tasks.instances.video_prediction.video import Detect, Image
    from goodfit.tasks.instances.video_prediction.workers import Channel

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
PREDICTIONS = "predictions.json"
_WAITING = 4


@dataclass(frozen=True)
class PredictedImages:
    """What was written.

    Attributes:
        images: how many.
        instances: how many were found in them.
        predictions: COCO file with images, categories and annotations that have scores.
    """

    images: int
    instances: int
    predictions: Path


def predict_images(
    detect: Detect,
    source: Path,
    output: Path,
    *,
    categories: Sequence[str],
    batch: int = 4,
    score: float = SHOWN_SCORE,
    on_progress: Callable[[int, int], None] | None = None,
) -> PredictedImages:
    """Predict an image, or all images below a folder.

    Args:
        detect: gives the instances of each of a list of images (H, W, 3) uint8 RGB; called in this thread.
        source: an image or a folder.
        output: a folder: receives the overlays under the names of the images, as PNG, and predictions.json.
        categories: names, for category 1 on.
        batch: images given to ``detect`` at once.
        score: smallest score that is drawn; predictions.json lists all that ``detect`` gives.
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
    with ExitStack() as stack:
        workers = stack.enter_context(Workers())
        read: Channel[tuple[Path, Image]] = workers.channel(batch + _WAITING)
        found: Channel[tuple[Path, Image, Detection]] = workers.channel(batch + _WAITING)

        def draw() -> None:
            for done, (file, image, detection) in enumerate(found, start=1):
                height, width = image.shape[:2]
                name = file.relative_to(base).as_posix()
                images.append({"id": done, "file_name": name, "width": width, "height": height})
                annotations.extend(annotations_of(detection, done, len(annotations) + 1))
                shown = chosen(detection, detection.scores >= score)
                marks = marks_of(shown, np.full(len(shown), UNTRACKED, np.int64))
                Artist(categories, Style.for_size(height, width)).draw(image, marks)
                _save(image, output / overlay_name(name))
                if on_progress is not None:
                    on_progress(done, len(files))

        workers.start("reading", lambda: read.fill((file, read_picture(file)) for file in files))
        workers.start("drawing", draw)
        workers.run("the network", lambda: found.fill(_looked(detect, iter(read), batch)))
    content = {"images": images, "categories": category_entries(categories), "annotations": annotations}
    write_json(output / PREDICTIONS, content)
    return PredictedImages(len(images), len(annotations), output / PREDICTIONS)


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


def _looked(detect: Detect, read: Iterator[tuple[Path, Image]], batch: int) -> Iterator[tuple[Path, Image, Detection]]:
    while taken := list(islice(read, batch)):
        results = detect([image for _, image in taken])
        if len(results) != len(taken):
            raise ValueError(f"{len(results)} results for {len(taken)} images")
        for (file, image), detection in zip(taken, results, strict=True):
            yield file, image, detection


def _save(image: Image, file: Path) -> None:
    from PIL import Image as Pictures

    with replacing(file) as temporary:
        Pictures.fromarray(image).save(temporary, format="PNG", compress_level=1)
