"""From COCO files to drafts of frames: entries of the same image joined, objects made and validated."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from goodfit.data.instances import kinds
from goodfit.data.instances.locate import SET_WORDS
from goodfit.data.instances.model import ImageSource, VideoSource
from goodfit.data.instances.objects import make_instance
from goodfit.data.instances.pictures import picture_size
from goodfit.errors import GoodfitError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.data.instances.coco import RawFile, RawImage
    from goodfit.data.instances.findings import Findings, Kind
    from goodfit.data.instances.model import Instance
    from goodfit.data.instances.placing import Place, Placer
    from goodfit.data.splits import SetName

_DECLARED_FIELDS = ("official_split", "split", "subset", "set")
_FEWEST_RELATIVE = 3


@dataclass
class Draft:
    """A frame while it is put together.

    Attributes:
        label: how messages call it.
        shown: the first file that lists it.
        place: source, group, number.
        size: height and width; None where it could not be found out.
        instances: its objects.
        sets: the sets that folders or file names give it.
        declared: the set that a field of the image tells.
        shared: several files list it.
    """

    label: str
    shown: str
    place: Place
    size: tuple[int, int] | None
    instances: list[Instance] = field(default_factory=list)
    sets: set[SetName] = field(default_factory=set)
    declared: SetName | None = None
    shared: bool = False


class Reader:
    """Turns image entries into drafts.

    Args:
        categories: names, in the order of the dataset.
        placer: finds the pixels.
        findings: takes the problems.
    """

    def __init__(self, categories: Sequence[str], placer: Placer, findings: Findings) -> None:
        self._numbers = {name: index for index, name in enumerate(categories, start=1)}
        self._placer = placer
        self._findings = findings
        self._tracks: dict[str, int] = {}

    def read(self, files: Sequence[RawFile]) -> list[Draft]:
        """Read all entries; those of one image or video frame become one draft."""
        drafts: dict[tuple[str, ...], Draft] = {}
        for file in files:
            self._look_for_relative_boxes(file)
            for image in file.images:
                place = self._placer.place(file, image)
                draft = self._draft(file, image, place)
                key = _key(place, file, image)
                known = drafts.setdefault(key, draft)
                if known is not draft:
                    self._join(known, draft)
                known.instances += self._instances(file, image, known)
        for draft in drafts.values():
            self._drop_copies(draft)
        return list(drafts.values())

    def _draft(self, file: RawFile, image: RawImage, place: Place) -> Draft:
        size = _given_size(image.fields)
        if size is None and place.source is not None:
            self._findings.add(kinds.MISSING_SIZE, file.shown, image.label)
            try:
                size = _size_of(place.source)
            except GoodfitError as error:
                self._findings.add(kinds.UNREADABLE_FILE, file.shown, str(error))
        declared = next((image.fields[key] for key in _DECLARED_FIELDS if image.fields.get(key)), None)
        draft = Draft(image.label, file.shown, place, size)
        draft.declared = SET_WORDS.get(declared.lower()) if isinstance(declared, str) else None
        if file.file.given_set is not None:
            draft.sets.add(file.file.given_set)
        return draft

    def _join(self, known: Draft, other: Draft) -> None:
        if known.shown == other.shown:
            self._findings.add(kinds.REPEATED_IMAGE, other.shown, other.label)
        else:
            known.shared = True
        if known.size and other.size and known.size != other.size:
            sizes = f"{known.size[1]} x {known.size[0]} and {other.size[1]} x {other.size[0]}"
            self._findings.add(kinds.SIZES_DIFFER, other.shown, f"{other.label} ({sizes})")
        known.sets |= other.sets
        if len(known.sets) > 1:
            self._findings.add(kinds.IMAGE_IN_TWO_SETS, other.shown, other.label)
        known.declared = known.declared or other.declared

    def _instances(self, file: RawFile, image: RawImage, draft: Draft) -> list[Instance]:
        made = []
        for entry in image.annotations:
            name = file.categories.get(str(entry.get("category_id")))
            if name is None or name not in self._numbers:
                example = f"category_id {entry.get('category_id')}"
                self._findings.add(kinds.UNKNOWN_CATEGORY, file.shown, example, draft.label)
            elif draft.size is not None:
                note = partial(self._note, file.shown, draft.label)
                instance = make_instance(entry, self._numbers[name], draft.size, self._track(entry), note)
                if instance is not None:
                    made.append(instance)
        return made

    def _note(self, shown: str, frame: str, kind: Kind, example: str) -> None:
        self._findings.add(kind, shown, f"{example} of {frame}", frame)

    def _track(self, entry: Mapping[str, Any]) -> int | None:
        """Read "track_id", also among CVAT's "attributes"; names are numbered in order of occurrence."""
        attributes = entry.get("attributes")
        value = entry.get("track_id", attributes.get("track_id") if isinstance(attributes, dict) else None)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if not isinstance(value, str) or not value:
            return None
        return int(value) if value.isdigit() else self._tracks.setdefault(value, len(self._tracks) + 1)

    def _drop_copies(self, draft: Draft) -> None:
        if len(draft.instances) < 2:
            return
        unique: dict[tuple[object, ...], list[Instance]] = {}
        kept = []
        for instance in draft.instances:
            alike = unique.setdefault((instance.category, instance.box, instance.crowd), [])
            if any(other.segmentation == instance.segmentation for other in alike):
                self._findings.add(kinds.REPEATED_ANNOTATION, draft.shown, draft.label, draft.label)
                continue
            alike.append(instance)
            kept.append(instance)
        draft.instances = kept

    def _look_for_relative_boxes(self, file: RawFile) -> None:
        boxes = [entry.get("bbox") for image in file.images for entry in image.annotations]
        numbers = [
            value
            for box in boxes
            if isinstance(box, list)
            for value in box
            if isinstance(value, int | float) and not isinstance(value, bool)
        ]
        if len(boxes) >= _FEWEST_RELATIVE and numbers and all(0 <= value <= 1 for value in numbers):
            self._findings.add(kinds.RELATIVE_BOX, file.shown, f"{len(boxes)} boxes within 0 to 1")


def settle_masks(drafts: Sequence[Draft], findings: Findings) -> bool:
    """Decide whether the dataset has masks: when most of its objects have one.

    The few without become regions to ignore (``crowd``); where most have none, no mask is kept.
    """
    objects = [instance for draft in drafts for instance in draft.instances if not instance.crowd]
    masked = Counter(instance.segmentation is not None for instance in objects)
    has_masks = masked[True] > masked[False]
    for draft in drafts:
        for index, instance in enumerate(draft.instances):
            if has_masks and instance.segmentation is None and not instance.crowd:
                findings.add(kinds.LACKS_MASK, draft.shown, draft.label, draft.label)
                draft.instances[index] = replace(instance, crowd=True)
            elif not has_masks and instance.segmentation is not None:
                if not instance.crowd:
                    findings.add(kinds.MASKS_UNUSED, draft.shown, draft.label, draft.label)
                x0, y0, x1, y1 = instance.box
                draft.instances[index] = replace(instance, segmentation=None, area=(x1 - x0) * (y1 - y0))
    return has_masks


def _key(place: Place, file: RawFile, image: RawImage) -> tuple[str, ...]:
    match place.source:
        case ImageSource(path):
            return ("image", str(path))
        case VideoSource(path, frame):
            return ("video", str(path), str(frame))
        case None:
            return ("missing", file.shown, image.id)


def _given_size(fields: Mapping[str, Any]) -> tuple[int, int] | None:
    sides = fields.get("height"), fields.get("width")
    if all(isinstance(side, int | float) and not isinstance(side, bool) and side >= 1 for side in sides):
        return int(fields["height"]), int(fields["width"])
    return None


def _size_of(source: ImageSource | VideoSource) -> tuple[int, int]:
    if isinstance(source, ImageSource):
        return picture_size(source.path)
    from goodfit.data.video.index import open_video

    video = open_video(source.path)
    return video.height, video.width
