"""Reading one COCO file into its lists, as they are, with every malformed entry noted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from goodfit.data.instances import kinds
from goodfit.errors import DatasetError
from goodfit.files import read_json

if TYPE_CHECKING:
    from pathlib import Path

    from goodfit.data.instances.findings import Findings
    from goodfit.data.instances.locate import AnnotationFile


@dataclass
class RawImage:
    """An entry of "images" with its entries of "annotations".

    Attributes:
        id: as text, since some tools write ids as strings.
        name: "file_name"; "" where there is none.
        fields: all of the entry.
        annotations: the objects.
    """

    id: str
    name: str
    fields: dict[str, Any]
    annotations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def label(self) -> str:
        """How messages call the image."""
        return self.name or f"image id {self.id}"


@dataclass
class RawFile:
    """One COCO file.

    Attributes:
        file: where it lies.
        shown: its path in messages, relative to the dataset.
        images: in the order of the file.
        categories: id -> name, in order of ids.
        parents: names that are the supercategory of another category.
        videos: id -> entry of "videos".
    """

    file: AnnotationFile
    shown: str
    images: list[RawImage]
    categories: dict[str, str]
    parents: frozenset[str]
    videos: dict[str, dict[str, Any]]

    @property
    def place(self) -> str:
        """What tells the file from others: its folder's name, or its own where it lies in the dataset's folder."""
        return (
            self.shown.split("/")[0]
            if "/" in self.shown and "annotations/" not in self.shown[:12]
            else self.file.path.stem
        )


def read_coco(file: AnnotationFile, shown: str, findings: Findings) -> RawFile:
    """Read a COCO file.

    Raises:
        DatasetError: it is no JSON, or lacks one of the lists images, annotations and categories.
    """
    content = read_json(file.path, DatasetError)
    lists = {key: _list(content, key, file.path) for key in ("images", "annotations", "categories")}
    broken = [key for key, entries in lists.items() if any(not isinstance(entry, dict) for entry in entries)]
    for key in broken:
        findings.add(kinds.BROKEN_ENTRY, shown, f"{key} holds something else than objects")
    entries = {key: [entry for entry in found if isinstance(entry, dict)] for key, found in lists.items()}
    images = _images(entries["images"], shown, findings)
    _assign(images, entries["annotations"], shown, findings)
    videos = content.get("videos")
    return RawFile(
        file,
        shown,
        list(images.values()),
        _categories(entries["categories"], shown, findings),
        frozenset(
            str(entry["supercategory"]).strip()
            for entry in entries["categories"]
            if entry.get("supercategory") not in (None, "", "none", entry.get("name"))
        ),
        {
            str(entry["id"]): entry
            for entry in (videos if isinstance(videos, list) else [])
            if isinstance(entry, dict) and "id" in entry
        },
    )


def _list(content: Any, key: str, path: Path) -> list[Any]:
    value = content.get(key) if isinstance(content, dict) else None
    if isinstance(value, list):
        return value
    if isinstance(content, dict) and key == "images" and isinstance(content.get("videos"), list):
        raise DatasetError(f'{path}: has "videos" but no list "images". List each annotated frame there, as COCO does.')
    if isinstance(content, dict) and key == "annotations" and "images" in content:
        raise DatasetError(f'{path}: has no list "annotations". Without objects it is no dataset to train on.')
    raise DatasetError(f'{path}: is no COCO file: there is no list "{key}".')


def _images(entries: list[dict[str, Any]], shown: str, findings: Findings) -> dict[str, RawImage]:
    images: dict[str, RawImage] = {}
    for entry in entries:
        if "id" not in entry:
            findings.add(kinds.BROKEN_ENTRY, shown, f"image without id ({entry.get('file_name', '?')})")
            continue
        name = entry.get("file_name")
        image = RawImage(str(entry["id"]), name if isinstance(name, str) else "", entry)
        if image.id in images:
            same = images[image.id].fields == entry
            kind = kinds.REPEATED_IMAGE if same else kinds.DUPLICATE_IMAGE_ID
            findings.add(kind, shown, f"id {image.id} ({image.label})", "")
            continue
        images[image.id] = image
    return images


def _assign(images: dict[str, RawImage], entries: list[dict[str, Any]], shown: str, findings: Findings) -> None:
    ids = Counter(str(entry["id"]) for entry in entries if "id" in entry)
    for identity, count in ids.items():
        if count > 1:
            findings.add(kinds.DUPLICATE_ANNOTATION_ID, shown, f"id {identity}")
    for entry in entries:
        image = images.get(str(entry.get("image_id")))
        if image is None:
            findings.add(kinds.UNKNOWN_IMAGE, shown, f"image_id {entry.get('image_id')}")
        else:
            image.annotations.append(entry)


def _categories(entries: list[dict[str, Any]], shown: str, findings: Findings) -> dict[str, str]:
    categories: dict[str, str] = {}
    numbers: dict[str, int] = {}
    for entry in entries:
        if "id" not in entry:
            findings.add(kinds.BROKEN_ENTRY, shown, f"category without id ({entry.get('name', '?')})")
            continue
        identity, name = str(entry["id"]), str(entry.get("name") or "").strip()
        if not name:
            findings.add(kinds.CATEGORY_NAMELESS, shown, f"id {identity}")
            name = f"category_{identity}"
        if identity in categories and categories[identity] != name:
            findings.add(kinds.CATEGORY_ID_TWICE, shown, f"id {identity} is {categories[identity]!r} and {name!r}")
            continue
        if identity not in categories and name in categories.values():
            findings.add(kinds.CATEGORY_NAME_TWICE, shown, f"{name!r} as id {identity}")
        categories[identity] = name
        numbers[identity] = int(identity) if identity.lstrip("-").isdigit() else 0
    return dict(sorted(categories.items(), key=lambda item: numbers[item[0]]))
