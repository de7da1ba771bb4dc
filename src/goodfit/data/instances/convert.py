"""``goodfit convert masks``: PNG masks with instance ids become one COCO file."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.data.formats import PHOTO_ENDINGS, TIFF_ENDINGS
from goodfit.data.instances import rle
from goodfit.data.instances.pictures import picture_size
from goodfit.data.wording import some
from goodfit.errors import DatasetError, ImageFileError
from goodfit.files import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path, PurePath

    import numpy.typing as npt

_IMAGE_ENDINGS = (*PHOTO_ENDINGS, *TIFF_ENDINGS, ".webp")
_MASK_ENDINGS = (".png", *TIFF_ENDINGS)
_NUMBER_AT_END = re.compile(r"(\d+)$")


@dataclass(frozen=True)
class Converted:
    """What was written.

    Attributes:
        file: the annotations.json.
        images: number of images.
        empty: number of images without an object.
        instances: number of objects.
        categories: their names.
        notes: what deserves a look.
    """

    file: Path
    images: int
    empty: int
    instances: int
    categories: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Pair:
    """An image with its masks: category number -> file."""

    name: PurePath
    image: Path
    masks: dict[int, Path]


def masks_to_coco(
    folder: Path,
    output: Path,
    *,
    category: str = "object",
    on_progress: Callable[[int, int], None] | None = None,
) -> Converted:
    """Write a COCO dataset from images and masks.

    Args:
        folder: holds images/ and masks/ with files of equal names (endings may differ). A mask is a PNG or TIFF of
            8 or 16 bits, grey or with a palette, where 0 is background and each other value is one object, also
            where it lies in several pieces. Several categories: masks/CATEGORY/ holds masks of its own, and an image
            needs one in any of them. Sub-folders of images/ are videos: their names become ``video_id``, the
            numbers that end the file names ``frame_number``, and equal values in one video one ``track_id``.
        output: folder that gets annotations.json and images/ (linked where the disk allows, else copied). The same
            as ``folder``: annotations.json is written beside images/.
        category: name, where the masks are not in folders of categories.
        on_progress: called with the number of images done and of all images.

    Raises:
        DatasetError: folders are missing, files have no counterpart, sizes differ, or masks are no masks of
            instances; lists all such files, and nothing is written.
    """
    pairs, categories = _pairs(folder, category)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    wrong: list[str] = []
    single = 0
    for number, pair in enumerate(pairs, start=1):
        try:
            entry, objects, is_single = _converted(pair, number, len(annotations))
        except ImageFileError as error:
            wrong.append(str(error))
            continue
        images.append(entry)
        annotations += objects
        single += is_single
        if on_progress is not None:
            on_progress(number, len(pairs))
    if wrong:
        raise DatasetError(f"{folder}: {len(wrong)} images cannot be converted. {' '.join(wrong[:5])}")
    if output.resolve() != folder.resolve():
        for pair in pairs:
            _link(pair.image, output / "images" / pair.name)
    file = output / "annotations.json"
    listed = [{"id": index, "name": name} for index, name in enumerate(categories, start=1)]
    write_json(file, {"images": images, "annotations": annotations, "categories": listed})
    notes = []
    if images and single == sum(1 for pair in pairs if pair.masks) and len(annotations) > 1:
        notes.append(
            "every mask holds one value only: if these are masks of a class and not of instances, objects side by side "
            "have become one"
        )
    empty = len(images) - len({one["image_id"] for one in annotations})
    return Converted(file, len(images), empty, len(annotations), categories, tuple(notes))


def _pairs(folder: Path, category: str) -> tuple[list[_Pair], tuple[str, ...]]:
    """Match images with masks by name."""
    for name in ("images", "masks"):
        if not (folder / name).is_dir():
            raise DatasetError(
                f"{folder}: there is no folder {name}/. Put the images into images/, the masks into masks/."
            )
    images = _by_stem(folder / "images", _IMAGE_ENDINGS)
    masks = _by_stem(folder / "masks", _MASK_ENDINGS)
    if not images:
        raise DatasetError(f"{folder / 'images'}: there are no images ({', '.join(_IMAGE_ENDINGS)}).")
    categories: tuple[str, ...] = (category,)
    if images.keys() & masks.keys():
        of_image = {stem: {1: masks[stem]} for stem in images if stem in masks}
        used = set(of_image)
    else:
        categories = tuple(sorted({stem.parts[0] for stem in masks if len(stem.parts) > 1}))
        of_image = {}
        used = set()
        for number, name in enumerate(categories, start=1):
            for stem in images:
                if name / stem in masks:
                    of_image.setdefault(stem, {})[number] = masks[name / stem]
                    used.add(name / stem)
    bare = sorted(str(stem) for stem in images.keys() - of_image.keys())
    lonely = sorted(str(stem) for stem in masks.keys() - used)
    if bare or lonely:
        parts = [f"{len(bare)} images have no mask ({some(bare)})"] if bare else []
        parts += [f"{len(lonely)} masks have no image ({some(lonely)})"] if lonely else []
        raise DatasetError(
            f"{folder}: {' and '.join(parts)}. Names must be equal; an image without objects needs a mask of zeros."
        )
    images_root = folder / "images"
    return [
        _Pair(images[stem].relative_to(images_root), images[stem], of_image[stem]) for stem in sorted(images)
    ], categories


def _by_stem(folder: Path, endings: tuple[str, ...]) -> dict[PurePath, Path]:
    """List files by their path below the folder, without the ending."""
    found: dict[PurePath, Path] = {}
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if path.suffix.lower() not in endings or any(part.startswith(".") for part in below.parts):
            continue
        stem = below.with_suffix("")
        if stem in found:
            raise DatasetError(f"{path}: {found[stem].name} has the same name. Keep one of the two.")
        found[stem] = path
    return found


def _converted(pair: _Pair, number: int, before: int) -> tuple[dict[str, Any], list[dict[str, Any]], bool]:
    """Make the entries of an image and its objects; tell whether its masks hold one value at most."""
    height, width = picture_size(pair.image)
    entry: dict[str, Any] = {
        "id": number,
        "file_name": f"images/{pair.name.as_posix()}",
        "width": width,
        "height": height,
    }
    video = pair.name.parent.as_posix() if len(pair.name.parts) > 1 else ""
    if video:
        entry["video_id"] = video
        digits = _NUMBER_AT_END.search(pair.name.stem)
        if digits:
            entry["frame_number"] = int(digits[1])
    objects: list[dict[str, Any]] = []
    values_per_mask = []
    for category, file in pair.masks.items():
        mask = _read_mask(file, (height, width))
        values_per_mask.append(0)
        for value, annotation in _objects(mask):
            values_per_mask[-1] += 1
            identity = {"id": before + len(objects) + 1, "image_id": number, "category_id": category, "iscrowd": 0}
            objects.append(identity | annotation | ({"track_id": value} if video else {}))
    return entry, objects, max(values_per_mask, default=0) <= 1


def _read_mask(file: Path, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    from PIL import Image

    try:
        with Image.open(file) as image:
            values = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageFileError(f"{file}: no mask that can be read ({error}).") from error
    if values.ndim != 2 or values.dtype.kind not in "uib":
        raise ImageFileError(f"{file}: a mask should be one grey channel of whole numbers, not {image.mode}.")
    if values.shape != size:
        shapes = f"{values.shape[1]} x {values.shape[0]}, its image {size[1]} x {size[0]}"
        raise ImageFileError(f"{file}: the mask has {shapes} pixels.")
    return values.astype(np.int64)


def _objects(mask: npt.NDArray[np.int64]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give value and COCO fields of each object, in order of values."""
    for value in np.unique(mask[mask != 0]).tolist():
        # Runs of the mask read column by column; a leading zero run where it begins with the object.
        flat = (mask == value).ravel(order="F")
        ends = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff([*([0] if flat[0] else []), 0, *ends.tolist(), len(flat)])
        x0, y0, x1, y1 = rle.box_of(runs, mask.shape[0])
        yield (
            value,
            {
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": rle.area_of(runs),
                "segmentation": {"size": list(mask.shape), "counts": rle.format_counts(runs.tolist())},
            },
        )


def _link(source: Path, target: Path) -> None:
    if target.exists():
        if target.samefile(source) or target.read_bytes() == source.read_bytes():
            return
        raise DatasetError(f"{target}: exists already, with other content. Choose an empty folder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
