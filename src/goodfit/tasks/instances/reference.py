"""A COCO file as the reference of an evaluation: its annotations alone, without images or videos."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeGuard

from goodfit.data.instances.coco import read_coco
from goodfit.data.instances.findings import Findings
from goodfit.data.instances.locate import AnnotationFile
from goodfit.data.instances.model import Frame, ImageSource
from goodfit.data.instances.objects import make_instance
from goodfit.data.instances.placing import COARSER_FIELDS, NUMBER_FIELDS, VIDEO_FIELDS
from goodfit.data.wording import counted
from goodfit.errors import DatasetError
from goodfit.tasks.instances.metrics import coco_dataset

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from goodfit.data.instances.coco import RawFile, RawImage
    from goodfit.data.instances.findings import Kind


@dataclass(frozen=True)
class ReferenceImage:
    """An image of the file.

    Attributes:
        frame: with its objects, their boxes clipped.
        boxes: of each object, x, y, width, height exactly as the file has them.
        areas: of each object, exactly as the file has them.
    """

    frame: Frame
    boxes: list[list[float]]
    areas: list[float]


@dataclass(frozen=True)
class Reference:
    """The annotations of a COCO file.

    Attributes:
        categories: names, in the order of their ids; numbers 1, 2, ... within goodfit.
        category_numbers: id in the file, as text -> that number.
        places: image id, as text -> place among ``images``.
        has_masks: most objects have masks; those without are then crowds.
        images: in the order of their ids.
        notes: what the reader should know, in sentences.
    """

    categories: tuple[str, ...]
    category_numbers: dict[str, int]
    places: dict[str, int]
    has_masks: bool
    images: list[ReferenceImage]
    notes: list[str]

    @property
    def frames(self) -> list[Frame]:
        """The images as frames."""
        return [image.frame for image in self.images]

    def content(self) -> dict[str, Any]:
        """Give the content of a COCO file anew, with numbers from 1 on in place of ids."""
        content = coco_dataset(self.frames, self.categories)
        boxes = [box for image in self.images for box in image.boxes]
        areas = [area for image in self.images for area in image.areas]
        for entry, box, area in zip(content["annotations"], boxes, areas, strict=True):
            entry |= {"bbox": list(box), "area": area}
        return content


def read_reference(path: Path) -> Reference:
    """Read a COCO file.

    Raises:
        DatasetError: it is missing or no COCO file, an image has no size, or there is no category or image.
    """
    file = read_coco(AnnotationFile(path, path.parent), path.name, Findings())
    if not file.categories or not file.images:
        raise DatasetError(f"{path}: there are no {'images' if file.categories else 'categories'} to score.")
    names = list(dict.fromkeys(file.categories.values()))
    numbers = {identity: names.index(name) + 1 for identity, name in file.categories.items()}
    images = sorted(file.images, key=lambda image: (not image.id.isdigit(), int(image.id) if image.id.isdigit() else 0))
    entries = [entry for image in images for entry in image.annotations if not entry.get("iscrowd")]
    lacking = sum(not entry.get("segmentation") for entry in entries)
    has_masks = 2 * lacking < len(entries)
    findings = Findings()
    made = [_image(file, image, place, numbers, findings, has_masks=has_masks) for place, image in enumerate(images)]
    notes = [f"{problem.file}: {problem.what}." for problem in findings.problems()]
    if has_masks and lacking:
        notes.append(f"{counted(lacking, 'object')} without a mask: as crowds, neither found nor missed.")
    places = {image.id: place for place, image in enumerate(images)}
    return Reference(tuple(names), numbers, places, has_masks, made, notes)


def _image(
    file: RawFile, image: RawImage, place: int, numbers: Mapping[str, int], findings: Findings, *, has_masks: bool
) -> ReferenceImage:
    def note(kind: Kind, example: str) -> None:
        findings.add(kind, file.shown, f"{example} of {image.label}")

    size = _size(image, file)
    instances, boxes, areas = [], [], []
    for entry in image.annotations:
        category = numbers.get(str(entry.get("category_id")))
        one = None if category is None else make_instance(entry, category, size, None, note)
        if one is None:
            continue
        used = one.segmentation if has_masks else None
        one = replace(one, segmentation=used, crowd=one.crowd or (has_masks and used is None))
        x0, y0, x1, y1 = one.box
        given, area = entry.get("bbox"), entry.get("area")
        instances.append(one)
        boxes.append(given if _is_box(given) else [x0, y0, x1 - x0, y1 - y0])
        areas.append(float(area) if _is_number(area) else one.area)
    group, video, at = _in_video(image.fields, file)
    source = ImageSource(file.file.base / image.label)
    number = place if at is None else at
    frame = Frame(image.label, group or image.label, number, None, *size, source, tuple(instances), video)
    return ReferenceImage(frame, boxes, areas)


def _size(image: RawImage, file: RawFile) -> tuple[int, int]:
    sides = image.fields.get("height"), image.fields.get("width")
    if not all(_is_number(side) and side >= 1 for side in sides):
        raise DatasetError(f"{file.file.path}: {image.label} has no height and width. Add both, in pixels.")
    return int(image.fields["height"]), int(image.fields["width"])


def _in_video(fields: Mapping[str, Any], file: RawFile) -> tuple[str, str, int | None]:
    """Group and video ("" where none is named) and number in the video, as far as an image tells them."""
    video = _first(fields, VIDEO_FIELDS)
    entry = file.videos.get(video, {})
    video = str(entry.get("name") or entry.get("file_name") or video)
    number = next((int(fields[key]) for key in NUMBER_FIELDS if _is_number(fields.get(key))), None)
    return _first(fields, COARSER_FIELDS) or video, video, number


def _first(fields: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    return next((str(fields[key]) for key in keys if fields.get(key) not in (None, "")), "")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_box(value: object) -> TypeGuard[list[float]]:
    return (
        isinstance(value, list) and len(value) == 4 and all(_is_number(side) for side in value) and min(value[2:]) > 0
    )
