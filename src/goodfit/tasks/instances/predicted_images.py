"""What ``goodfit predict`` wrote for images, beside annotations of images of the same names."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from goodfit.data.wording import counted, some
from goodfit.errors import DatasetError
from goodfit.tasks.instances.results import entries_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from goodfit.tasks.instances.reference import Reference
    from goodfit.tasks.instances.results import Entries


@dataclass(frozen=True)
class Matched:
    """Predictions beside their reference.

    Attributes:
        reference: of the images to be scored.
        entries: the detections in them.
    """

    reference: Reference
    entries: Entries


def is_predictions(content: Any) -> bool:
    """Whether the content of a JSON file is a COCO file whose annotations have scores."""
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        return False
    annotations = content.get("annotations")
    return isinstance(annotations, list) and all(isinstance(one, dict) and "score" in one for one in annotations)


def match_by_name(path: Path, content: Mapping[str, Any], true: Reference, *, only_predicted: bool) -> Matched:
    """Find the images and categories of predictions in a reference by their names.

    An image belongs to the reference's one of the same path, else to the only one with the same file name.

    Args:
        path: of the predictions, for messages.
        content: of that file.
        true: the reference.
        only_predicted: leave out images of the reference that were not predicted.

    Raises:
        DatasetError: no image or no category of the predictions is in the reference, or an entry is damaged.
    """
    places, strangers = _places(content["images"], [frame.name for frame in true.frames])
    if not places:
        raise DatasetError(f"{path}: none of its images is in the reference ({some(strangers)}). Score other images.")
    categories = {
        str(entry.get("id")): true.categories.index(entry["name"]) + 1
        for entry in content.get("categories", ())
        if entry.get("name") in true.categories
    }
    if not categories:
        raise DatasetError(f"{path}: none of its categories is in the reference, which has: {some(true.categories)}.")
    if only_predicted:
        kept = sorted(set(places.values()))
        moved = {old: new for new, old in enumerate(kept)}
        places = {name: moved[place] for name, place in places.items()}
        ids = {identity: moved[place] for identity, place in true.places.items() if place in moved}
        true = replace(true, images=[true.images[place] for place in kept], places=ids)
    identities = {str(image.get("id")): str(image.get("file_name")) for image in content["images"]}

    def find(entry: Mapping[str, Any]) -> int | None:
        return places.get(identities.get(str(entry.get("image_id")), ""))

    entries = entries_of(content["annotations"], path, find, true.frames, categories, others=True)
    if strangers:
        many = counted(len(strangers), "predicted image")
        entries.notes.append(f"{many} not in the reference, left out: {some(strangers)}.")
    return Matched(true, entries)


def _places(images: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """Give predicted file name -> place among ``names``, and the file names that have none."""
    exact = {_parts(name): place for place, name in enumerate(names)}
    count = Counter(PurePosixPath(name).name for name in names)
    single = {PurePosixPath(name).name: place for place, name in enumerate(names)}
    places: dict[str, int] = {}
    strangers = []
    for image in images:
        name = str(image.get("file_name"))
        last = PurePosixPath(name).name
        place = exact.get(_parts(name), single.get(last) if count[last] == 1 else None)
        if place is None:
            strangers.append(name)
        else:
            places[name] = place
    return places, strangers


def _parts(name: str) -> tuple[str, ...]:
    """Split a path; a leading images/ has no part in it, since predictions are named below that folder."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return parts[1:] if len(parts) > 1 and parts[0] == "images" else parts
