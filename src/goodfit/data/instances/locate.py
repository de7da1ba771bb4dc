"""Finding the annotation files of a dataset folder, and what their place says about training, validation and test."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from goodfit.data.splits import SetName

SET_WORDS: dict[str, SetName] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
_OTHERS = ("dataset.json", "groups.json", "plan.json", "splits.json", "package.json")
_NAMED = re.compile(r"^(annotations|_annotations\.coco|instances.*|.*coco.*)\.json$", re.IGNORECASE)
_MARKS = (b'"images"', b'"annotations"', b'"categories"')
_PEEK = 8192


@dataclass(frozen=True)
class AnnotationFile:
    """A COCO file of a dataset.

    Attributes:
        path: the file.
        base: the folder that its image names are relative to, or one near it.
        given_set: the set that the folder (train/, valid/, test/) or the name (instances_val.json) tells.
    """

    path: Path
    base: Path
    given_set: SetName | None = None


def annotation_files(root: Path) -> list[AnnotationFile]:
    """List the COCO files of a dataset, by path.

    Looked for in the folder itself, in annotations/, and in each sub-folder (train/, valid/, one per video) with its
    annotations/. In a folder with files named instances*.json only those count, as COCO's own folder also holds
    captions and key points of the same images.
    """
    if root.is_file():
        return [AnnotationFile(root, root.parent)]
    found = list(_in_folder(root, root))
    if not found:
        folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
        found = [file for folder in folders for file in _in_folder(folder, root)]
    return found


def _in_folder(folder: Path, root: Path) -> Iterator[AnnotationFile]:
    for place in (folder, folder / "annotations"):
        files = sorted(path for path in place.glob("*.json") if is_coco_file(path)) if place.is_dir() else []
        instances = [path for path in files if path.name.lower().startswith("instances")]
        for path in instances or files:
            told = _set_of_name(path.stem)
            if told is None and folder != root:
                told = SET_WORDS.get(folder.name.lower())
            yield AnnotationFile(path, folder, told)


def is_coco_file(path: Path) -> bool:
    """Whether a JSON file is COCO's by its name, or by its first and last bytes."""
    if path.name.startswith(".") or path.name.lower() in _OTHERS or not path.is_file():
        return False
    if _NAMED.match(path.name):
        return True
    with path.open("rb") as file:
        content = file.read(_PEEK)
        size = file.seek(0, 2)
        file.seek(max(0, size - _PEEK))
        content += file.read(_PEEK)
    return sum(mark in content for mark in _MARKS) >= 2


def _set_of_name(stem: str) -> SetName | None:
    """Read "instances_val2017" or "test" as a set; a name with words of two sets is none."""
    words = re.split(r"[^a-z]+", stem.lower())
    told = {SET_WORDS[word] for word in words if word in SET_WORDS}
    return told.pop() if len(told) == 1 else None
