"""Writes generated rooms as a dataset: videos, and one COCO file with the annotated frames."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.errors import DatasetError
from goodfit.files import read_json, write_json
from goodfit.phantoms.rooms.scene import Scene
from goodfit.phantoms.rooms.space import HEIGHT, WIDTH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from goodfit.phantoms.rooms.scene import Picture

GENERATOR_VERSION = 1
"""Goes up whenever the same seed gives other pixels."""

CATEGORIES = ("person",)

FPS = 8
"""Frames per second of the videos."""

ANNOTATED = 2
"""Every frame whose number this divides is annotated."""


def make_video(seed: int, video: int, frames: int) -> Iterator[Picture]:
    """Generate the frames of one video, a pure function of seed, video and number of frames."""
    scene = Scene(seed, video, frames / FPS)
    for number in range(frames):
        yield scene.at(number / FPS, number)


def write_rooms(
    folder: Path,
    videos: int = 12,
    seed: int = 0,
    *,
    frames: int = 60,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a dataset of rooms; one that is already there, from the same seed, is left as it is.

    Masks are the visible parts, exact before the video is compressed; what shows fewer than 30 pixels is not
    annotated. ``track_id`` tells the figures of a video apart, through all their occlusions.

    Args:
        folder: receives videos/*.mp4 and annotations.json.
        videos: how many.
        seed: another seed gives other rooms and figures.
        frames: of each video; every second one is annotated.
        on_progress: told (frames done, frames of all videos) after each.

    Returns:
        ``folder``.

    Raises:
        DatasetError: the folder holds another dataset.
    """
    generator = {
        "name": "goodfit rooms",
        "version": GENERATOR_VERSION,
        "seed": seed,
        "videos": videos,
        "frames": frames,
    }
    description = folder / "annotations.json"
    if description.exists():
        if read_json(description, DatasetError).get("info", {}).get("generator") == generator:
            return folder
        raise DatasetError(f"{folder}: holds another dataset. Choose another folder or remove this one.")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    entries = [
        {"id": video + 1, "name": name(video), "file_name": f"videos/{name(video)}.mp4"} for video in range(videos)
    ]
    for video, entry in enumerate(entries):
        found = _write_video(folder / str(entry["file_name"]), seed, video, frames, on_progress, videos)
        for number, masks in found:
            image = {"id": len(images) + 1, "video_id": entry["id"], "frame": number, "timestamp": number / FPS}
            images.append({**image, "width": WIDTH, "height": HEIGHT})
            for track, mask in masks.items():
                annotations.append(_annotation(len(annotations) + 1, len(images), track, mask))
    # Last, since a folder with annotations counts as finished.
    write_json(
        description,
        {
            "info": {"description": "Generated rooms with figures, no real people.", "generator": generator},
            "categories": [{"id": number, "name": category} for number, category in enumerate(CATEGORIES, start=1)],
            "videos": entries,
            "images": images,
            "annotations": annotations,
        },
    )
    return folder


def name(video: int) -> str:
    """Name a video by its number."""
    return f"room_{video:03d}"


def _write_video(
    file: Path, seed: int, video: int, frames: int, on_progress: Callable[[int, int], None] | None, videos: int
) -> list[tuple[int, dict[int, npt.NDArray[np.bool_]]]]:
    """Write one video; give number and masks of its annotated frames."""
    from goodfit.data.video.write import VideoWriter

    found = []
    with VideoWriter(file, WIDTH, HEIGHT, fps=FPS) as writer:
        for number, picture in zip(count(), make_video(seed, video, frames), strict=False):
            writer.add(picture.image, number / FPS)
            if number % ANNOTATED == 0:
                found.append((number, picture.masks))
            if on_progress is not None:
                on_progress(video * frames + number + 1, videos * frames)
    return found


def _annotation(number: int, image: int, track: int, mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    from goodfit.data.instances.masks import encode_mask

    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y = int(columns[0]), int(rows[0])
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "track_id": track,
        "bbox": [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y],
        "area": int(mask.sum()),
        "segmentation": encode_mask(mask),
        "iscrowd": 0,
    }
