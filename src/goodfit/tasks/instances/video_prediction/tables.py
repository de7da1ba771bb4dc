"""Tracks as files: COCO JSON, CSV and the text format of the MOT challenge, written while the video goes by."""

from __future__ import annotations

import csv
import json
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from goodfit.data.instances.rle import area_of, parse_counts
from goodfit.files import replacing
from goodfit.tasks.instances.pasting import PastedMasks
from goodfit.tasks.instances.tracking.tracker import UNTRACKED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from goodfit.data.video.index import VideoIndex
    from goodfit.tasks.instances.detection import Detection, Rle
    from goodfit.tasks.instances.video_prediction.marks import Found

CSV_COLUMNS = ("frame", "time", "id", "class", "score", "x", "y", "width", "height", "mask", "distance")


@dataclass
class Track:
    """One identity over the video.

    Attributes:
        category: from 1.
        first: seconds, when it is seen first.
        last: seconds, when it is seen last.
        frames: in which it is seen.
    """

    category: int
    first: float
    last: float
    frames: int


def annotations_of(
    detection: Detection, image: int, first: int, identities: Sequence[int] = ()
) -> list[dict[str, Any]]:
    """Give instances as COCO annotations with scores, numbered from ``first``."""
    entries = []
    for place in range(len(detection)):
        x, y, width, height = corner_and_size(detection, place)
        entry: dict[str, Any] = {
            "id": first + place,
            "image_id": image,
            "category_id": int(detection.categories[place]),
            "bbox": [x, y, width, height],
            "score": round(float(detection.scores[place]), 4),
            "iscrowd": 0,
        }
        if detection.masks is not None:
            entry["segmentation"] = detection.masks[place]
            entry["area"] = _area(detection.masks, place)
        else:
            entry["area"] = round(width * height, 2)
        if place < len(identities) and identities[place] != UNTRACKED:
            entry["track_id"] = int(identities[place])
        entries.append(entry)
    return entries


def _area(masks: Sequence[Rle], place: int) -> int:
    if isinstance(masks, PastedMasks):
        return int(np.count_nonzero(masks.cut(place)[0]))
    return area_of(parse_counts(masks[place]["counts"]))


def category_entries(categories: Sequence[str]) -> list[dict[str, Any]]:
    """Give the categories as COCO lists them, numbered from 1."""
    return [{"id": number, "name": name} for number, name in enumerate(categories, start=1)]


def distance_entry(distance: float | None) -> dict[str, float]:
    """Give an image's distance from the training frames as a part of its COCO entry; nothing where there is none."""
    return {} if distance is None else {"distance": round(distance, 4)}


def corner_and_size(detection: Detection, place: int) -> tuple[float, float, float, float]:
    """Give a box as x, y, width, height, rounded to a hundredth of a pixel."""
    x0, y0, x1, y1 = (float(value) for value in detection.boxes[place])
    return round(x0, 2), round(y0, 2), round(x1 - x0, 2), round(y1 - y0, 2)


class TrackTables:
    """Writes the three files, complete or not at all; as a context.

    Only the frames that the network looked at are listed. A frame's distance from the training frames stands in each
    of its rows of the CSV, and with its image in the JSON.

    Args:
        files: "json", "csv" and "mot" -> where to.
        video: what the tracks are of.
        categories: names, for category 1 on.
    """

    def __init__(self, files: Mapping[str, Path], video: VideoIndex, categories: Sequence[str]) -> None:
        self._files = files
        self._video = video
        self._categories = tuple(categories)
        self._closing = ExitStack()
        self._streams: dict[str, TextIO] = {}
        self._frames: list[tuple[int, float, float | None]] = []
        self._count = 0
        self.tracks: dict[int, Track] = {}
        """By identity, in the order in which they appear."""

    def __enter__(self) -> TrackTables:
        with ExitStack() as stack:
            for kind, file in self._files.items():
                temporary = stack.enter_context(replacing(file))
                stream = temporary.open("w", encoding="utf-8", newline="")
                self._streams[kind] = stack.enter_context(stream)
            self._closing = stack.pop_all()
        self._streams["csv"].write(",".join(CSV_COLUMNS) + "\n")
        self._streams["json"].write('{"annotations": [')
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._closing.__exit__(kind, error, trace)
            return
        with self._closing:
            self._finish()

    def add(self, found: Found) -> None:
        """Write the instances of the next frame."""
        detection = found.detection
        self._frames.append((found.number, found.time, detection.distance))
        identities = [int(number) for number in found.identities]
        entries = annotations_of(detection, len(self._frames), self._count + 1, identities)
        for entry, identity in zip(entries, identities, strict=True):
            self._streams["json"].write((",\n" if self._count else "\n") + json.dumps(entry))
            self._count += 1
            self._write_row(found, entry, identity)
            if identity != UNTRACKED:
                self._follow(identity, entry["category_id"], found.time)
                x, y, width, height = entry["bbox"]
                # MOT counts frames and pixels from 1.
                place = f"{x + 1:.2f},{y + 1:.2f},{width:.2f},{height:.2f}"
                self._streams["mot"].write(f"{found.number + 1},{identity},{place},{entry['score']},-1,-1,-1\n")

    def _follow(self, identity: int, category: int, time: float) -> None:
        track = self.tracks.setdefault(identity, Track(category, time, time, 0))
        track.last = time
        track.frames += 1

    def _write_row(self, found: Found, entry: Mapping[str, Any], identity: int) -> None:
        mask = entry["segmentation"]["counts"] if "segmentation" in entry else ""
        number = identity if identity != UNTRACKED else ""
        name = self._categories[entry["category_id"] - 1]
        distance = "" if found.detection.distance is None else f"{found.detection.distance:.4f}"
        row = (found.number, f"{found.time:.6f}", number, name, entry["score"], *entry["bbox"], mask, distance)
        csv.writer(self._streams["csv"], lineterminator="\n").writerow(row)

    def _finish(self) -> None:
        size = {"width": self._video.width, "height": self._video.height}
        images = [
            {
                "id": place,
                "video_id": 1,
                "frame": number,
                "timestamp": round(time, 6),
                **size,
                **distance_entry(distance),
            }
            for place, (number, time, distance) in enumerate(self._frames, start=1)
        ]
        name = self._video.path.name
        rest = {
            "categories": category_entries(self._categories),
            "videos": [{"id": 1, "name": self._video.path.stem, "file_name": name, **size}],
        }
        stream = self._streams["json"]
        stream.write("\n],\n" + json.dumps(rest, ensure_ascii=False)[1:-1] + ',\n"images": [\n')
        stream.write(",\n".join(json.dumps(image) for image in images) + "\n]}\n")
