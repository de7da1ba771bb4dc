"""Detections as a COCO result file, with the ids of the dataset's own COCO file where those are known."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from goodfit.data.instances import rle
from goodfit.data.instances.coco import read_coco
from goodfit.data.instances.findings import Findings
from goodfit.data.instances.folder import Folder
from goodfit.data.instances.locate import annotation_files
from goodfit.data.instances.placing import Placer
from goodfit.errors import DatasetError
from goodfit.files import read_json, write_text
from goodfit.tasks.instances.detection import Detection
from goodfit.tasks.instances.metrics import coco_dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from goodfit.data.instances.coco import RawFile
    from goodfit.data.instances.model import Frame, InstanceDataset


@dataclass(frozen=True)
class Numbering:
    """Ids in a file: one for each of some frames, one for each category."""

    images: list[int]
    categories: list[int]


def numbering(frames: Sequence[Frame], dataset: InstanceDataset) -> Numbering:
    """Find the ids that a COCO file of the dataset gives to frames and categories.

    Where no single file holds all the frames and all the categories, as when several were joined, both are counted
    from 1.
    """
    for found in annotation_files(dataset.root):
        try:
            file = read_coco(found, found.path.name, Findings())
        except DatasetError:
            continue  # another file of the folder, which open_instances left out as well
        known = _numbering_of(file, frames, dataset)
        if known is not None:
            return known
    return Numbering([*range(1, len(frames) + 1)], [*range(1, len(dataset.categories) + 1)])


def _numbering_of(file: RawFile, frames: Sequence[Frame], dataset: InstanceDataset) -> Numbering | None:
    numbers = {name: identity for identity, name in reversed(file.categories.items())}
    if not all(numbers.get(name, "").isdigit() for name in dataset.categories):
        return None
    placer = Placer(Folder(dataset.root), None, qualify=False, findings=Findings())
    ids = {placer.place(file, image).source: image.id for image in file.images if image.id.isdigit()}
    if any(frame.source not in ids for frame in frames):
        return None
    return Numbering([int(ids[frame.source]) for frame in frames], [int(numbers[name]) for name in dataset.categories])


def write_results(
    path: Path, frames: Sequence[Frame], detections: Sequence[Detection], dataset: InstanceDataset
) -> None:
    """Write detections as a COCO result file, atomically.

    Each entry has image_id, category_id, score, bbox, segmentation where there are masks, and the frame's name, which
    COCO's own tools pass over. (pycocotools takes the areas of boxes for those of masks where both are in a file,
    which changes the scores of small, medium and large objects; ``evaluate_files`` does not.)

    Args:
        path: of the file.
        frames: in which was looked.
        detections: what was found in each, in the same order.
        dataset: of the frames, for its ids.
    """
    ids = numbering(frames, dataset)
    entries = []
    for frame, image, detection in zip(frames, ids.images, detections, strict=True):
        boxes = detection.boxes.astype(np.float64).tolist()
        for place, (x0, y0, x1, y1) in enumerate(boxes):
            entry: dict[str, Any] = {
                "image_id": image,
                "category_id": ids.categories[int(detection.categories[place]) - 1],
                "score": float(detection.scores[place]),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "frame": frame.name,
            }
            if detection.masks is not None:
                entry["segmentation"] = detection.masks[place]
            entries.append(json.dumps(entry, ensure_ascii=False, separators=(",", ":")))
    write_text(path, "[\n" + ",\n".join(entries) + "\n]\n")


def write_reference(path: Path, frames: Sequence[Frame], dataset: InstanceDataset) -> None:
    """Write the annotations of frames as a COCO file with the ids that ``write_results`` gives them, atomically.

    With it the results of a set can be scored again: the dataset's own file holds the other sets as well.
    """
    ids = numbering(frames, dataset)
    content = coco_dataset(frames, dataset.categories)
    for entry in content["annotations"]:
        entry["image_id"] = ids.images[entry["image_id"] - 1]
        entry["category_id"] = ids.categories[entry["category_id"] - 1]
    for entry, frame, image in zip(content["images"], frames, ids.images, strict=True):
        entry |= {"id": image, "group": frame.group, "video": frame.video, "frame_index": frame.number}
    for entry, number in zip(content["categories"], ids.categories, strict=True):
        entry["id"] = number
    write_text(path, json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n")


def read_results(path: Path, frames: Sequence[Frame], dataset: InstanceDataset) -> list[Detection]:
    """Read what ``write_results`` wrote: the detections of each frame, in the order of the frames.

    Detections of other frames are left out.

    Raises:
        DatasetError: the file is missing or is no result file; names the entry.
    """
    ids = numbering(frames, dataset)
    places = {str(image): place for place, image in enumerate(ids.images)}
    names = {frame.name: place for place, frame in enumerate(frames)}
    categories = {str(identity): number for number, identity in enumerate(ids.categories, start=1)}

    def find(entry: Mapping[str, Any]) -> int | None:
        return names.get(str(entry["frame"])) if "frame" in entry else places.get(str(entry.get("image_id")))

    return read_entries(path, find, frames, categories, others=True).detections(len(frames))


@dataclass(frozen=True)
class Entry:
    """One detection.

    Attributes:
        place: of its frame.
        category: its number, from 1.
        score: of the detection.
        box: COCO's x, y, width, height.
        mask: compressed run lengths, or None.
    """

    place: int
    category: int
    score: float
    box: list[float]
    mask: dict[str, Any] | None


@dataclass
class Entries:
    """The detections of a file; ``notes`` tell what was left out."""

    entries: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def have_masks(self) -> bool:
        """Whether there are detections and all have masks."""
        return bool(self.entries) and all(entry.mask is not None for entry in self.entries)

    def content(self, *, masks: bool) -> list[dict[str, Any]]:
        """Give the content of a result file, with masks alone or with boxes alone; images are counted from 1."""
        content: list[dict[str, Any]] = []
        for entry in self.entries:
            what = {"segmentation": dict(entry.mask or {})} if masks else {"bbox": list(entry.box)}
            content.append({"image_id": entry.place + 1, "category_id": entry.category, "score": entry.score, **what})
        return content

    def detections(self, count: int) -> list[Detection]:
        """Gather the detections of each of ``count`` frames, the surest first."""
        members: list[list[Entry]] = [[] for _ in range(count)]
        for entry in self.entries:
            members[entry.place].append(entry)
        masks = self.have_masks
        found = []
        for inside in members:
            inside.sort(key=lambda entry: -entry.score)
            boxes = np.array([entry.box for entry in inside], dtype=np.float64).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            found.append(
                Detection(
                    boxes.astype(np.float32),
                    np.array([entry.score for entry in inside], dtype=np.float32),
                    np.array([entry.category for entry in inside], dtype=np.int64),
                    [entry.mask for entry in inside if entry.mask is not None] if masks or not self.entries else None,
                )
            )
        return found


def read_entries(
    path: Path,
    find: Callable[[Mapping[str, Any]], int | None],
    frames: Sequence[Frame],
    categories: Mapping[str, int],
    *,
    others: bool = False,
) -> Entries:
    """Read a COCO result file and check every entry.

    Args:
        path: of the file.
        find: gives the place of an entry's image among ``frames``, None where it is another's.
        frames: for their sizes.
        categories: category id, as text -> number from 1. Detections of others are left out, as COCO does.
        others: leave out detections of other images; otherwise they are an error.

    Raises:
        DatasetError: the file is missing or is no result file; names the entry.
    """
    content = read_json(path, DatasetError)
    if not isinstance(content, list):
        raise DatasetError(f"{path}: this is no COCO result file, which is a list of detections.")
    return entries_of(content, path, find, frames, categories, others=others)


def entries_of(
    content: Sequence[Any],
    path: Path,
    find: Callable[[Mapping[str, Any]], int | None],
    frames: Sequence[Frame],
    categories: Mapping[str, int],
    *,
    others: bool = False,
) -> Entries:
    """Check detections that were read; see ``read_entries``."""
    result = Entries()
    unknown = 0
    for index, value in enumerate(content):
        where = f"{path}, entry {index}"
        if not isinstance(value, dict):
            raise DatasetError(
                f"{where}: expected an object with image_id, category_id, score, and bbox or segmentation."
            )
        place, category = find(value), categories.get(str(value.get("category_id")))
        if place is None:
            if others:
                continue
            raise DatasetError(
                f"{where}: image_id {value.get('image_id')!r} is not in the reference. Score against the file whose ids "
                "the results use."
            )
        if category is None:
            unknown += 1
            continue
        result.entries.append(_entry(value, place, category, frames[place], where))
    if unknown:
        result.notes.append(f"{unknown} detections are of categories that the reference does not have; left out.")
    return result


def _entry(value: dict[str, Any], place: int, category: int, frame: Frame, where: str) -> Entry:
    score, box, mask = value.get("score"), value.get("bbox"), value.get("segmentation")
    if not _is_number(score):
        raise DatasetError(f"{where}: score {score!r} is no number.")
    code = None if mask is None else _mask(mask, frame, where)
    if box is None and code is not None:
        x0, y0, x1, y1 = rle.box_of(rle.runs_of(code), frame.height)
        box = [float(x0), float(y0), float(x1 - x0), float(y1 - y0)]
    if not (isinstance(box, list) and len(box) == 4 and all(_is_number(side) for side in box)):
        raise DatasetError(f"{where}: bbox {box!r} is not [x, y, width, height].")
    return Entry(place, category, float(score), [float(side) for side in box], code)


def _mask(mask: Any, frame: Frame, where: str) -> dict[str, Any]:
    """Check the run lengths, since the library that reads them trusts them."""
    if not isinstance(mask, dict):
        raise DatasetError(f"{where}: segmentation is no run-length code (size and counts).")
    try:
        runs = rle.runs_of(mask)
    except ValueError as error:
        raise DatasetError(f"{where}: the run-length code is damaged ({error}).") from error
    if list(mask["size"]) != [frame.height, frame.width]:
        raise DatasetError(f"{where}: the mask has size {mask['size']}, the image {[frame.height, frame.width]}.")
    counts = mask["counts"]
    return {
        "size": list(mask["size"]),
        "counts": counts if isinstance(counts, str) else rle.format_counts(runs.tolist()),
    }


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
