"""Opening a dataset of frames with instances: COCO files, one or several, beside images or videos."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from goodfit.data.digests import Digests
from goodfit.data.instances import kinds
from goodfit.data.instances.categories import join_categories
from goodfit.data.instances.coco import RawFile, read_coco
from goodfit.data.instances.findings import Findings
from goodfit.data.instances.folder import Folder
from goodfit.data.instances.framing import make_frames, numbered_apart
from goodfit.data.instances.locate import annotation_files
from goodfit.data.instances.model import Frame, ImageSource, Instance, InstanceDataset, VideoSource
from goodfit.data.instances.placing import Placer
from goodfit.data.instances.reading import Draft, Reader, settle_masks
from goodfit.data.layouts import relative
from goodfit.errors import DatasetError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goodfit.data.splits import SetName

__all__ = [
    "Frame",
    "ImageSource",
    "Instance",
    "InstanceDataset",
    "VideoSource",
    "content_key",
    "is_instance_dataset",
    "open_instances",
]


def is_instance_dataset(root: Path) -> bool:
    """Whether a folder holds COCO files where ``open_instances`` looks for them, or a path is one; reads no more."""
    root = Path(root).expanduser()
    if root.is_file():
        return root.suffix.lower() == ".json"
    if not root.is_dir() or (root / "dataset.json").is_file():
        return False
    return bool(annotation_files(root))


def open_instances(root: Path, *, group_by: str | None = None) -> InstanceDataset:
    """Read the annotations of a dataset and find its images and videos, without reading pixels.

    What is wrong with single entries is in ``problems``; ``check_instances`` looks further, into the pixels.

    Args:
        root: a folder with annotations.json or annotations/*.json and images or videos below it, with train/,
            valid/ and test/ (or one folder per video) that have a COCO file each; or one COCO file.
        group_by: regular expression on file names. Its first group (or one named ``group``), else all it matches,
            is the group of the frame; a second one (or one named ``frame``) is the frame's number.

    Raises:
        DatasetError: there is no COCO file, none of them can be used, or they list no category or no usable frame.
        SettingsError: ``group_by`` is no regular expression.
    """
    root = Path(root).expanduser().absolute()
    if not root.exists():
        raise DatasetError(f"{root}: there is no such folder.")
    expression = _compiled(group_by)
    findings = Findings()
    files = _read_files(root, findings)
    folder = root.parent if root.is_file() else root
    categories, notes = join_categories(files, findings)
    if not categories:
        raise DatasetError(f"{files[0].file.path}: there are no categories. List at least one.")
    placer = Placer(Folder(folder), expression, numbered_apart(files), findings)
    drafts = Reader(categories, placer, findings).read(files)
    usable = [draft for draft in drafts if draft.place.source is not None and draft.size is not None]
    if placer.only_video_used:
        notes.append("frames without an image file are taken from the only video, by the number in their names")
    has_masks = settle_masks(usable, findings)
    if not usable:
        first = findings.problems()[0] if findings.problems() else None
        why = f" {first.what[:1].upper()}{first.what[1:]}. {first.remedy}" if first else " The list of images is empty."
        raise DatasetError(f"{root}: no frame can be used.{why}")
    frames, grouped, more = make_frames(usable, folder, files, findings, by_expression=expression is not None)
    names = {id(draft): frame.name for draft, frame in zip(usable, frames, strict=True)}
    return InstanceDataset(
        root=folder,
        name=root.stem if root.is_file() else root.name,
        categories=categories,
        frames=tuple(sorted(frames, key=lambda frame: (frame.group, frame.video, frame.number, frame.name))),
        has_masks=has_masks,
        grouped=grouped,
        given_split=_given_split(usable, names),
        notes=(*notes, *more),
        problems=tuple(findings.problems()),
        declared_split={names[id(draft)]: draft.declared for draft in usable if draft.declared is not None} or None,
    )


def _compiled(group_by: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(group_by) if group_by is not None else None
    except re.error as error:
        raise SettingsError(f"--group-by {group_by!r}: not a regular expression ({error}).") from error


def _read_files(root: Path, findings: Findings) -> list[RawFile]:
    """Read every COCO file that can be; raise the first one's error where none can."""
    found = annotation_files(root)
    if not found:
        raise DatasetError(
            f"{root}: there is no COCO file. Looked for annotations.json, instances_*.json, annotations/*.json, and "
            "the same in sub-folders such as train/ and valid/."
        )
    files, errors = [], []
    for file in found:
        shown = relative(root, file.path) if root.is_dir() else file.path.name
        try:
            files.append(read_coco(file, shown, findings))
        except DatasetError as error:
            errors.append(error)
            findings.add(kinds.UNREADABLE_JSON, shown, str(error))
    if not files:
        raise errors[0]
    return files


def _given_split(drafts: Sequence[Draft], names: dict[int, str]) -> dict[str, SetName] | None:
    """Take the sets that folders tell, where they tell one for every frame and training is one of several."""
    sets = {names[id(draft)]: sorted(draft.sets)[0] for draft in drafts if draft.sets}
    distinct = set(sets.values())
    if len(sets) < len(drafts) or "train" not in distinct or len(distinct) < 2:
        return None
    return sets


def content_key(dataset: InstanceDataset, digests: Digests | None = None) -> str:
    """Digest what preprocessing and planning depend on: categories, objects, and the content of every source file.

    Args:
        dataset: as ``open_instances`` gave it.
        digests: what is known of the files; None: all are hashed.

    Returns:
        16 hexadecimal digits, the same for a copy of the dataset elsewhere. Groups and splits have no influence.

    Raises:
        DatasetError: a file cannot be read.
    """
    contents = (digests or Digests()).of_all(frame.source.path for frame in dataset.frames)
    digest = hashlib.blake2b(digest_size=8)
    digest.update(json.dumps([dataset.categories, dataset.has_masks]).encode())
    for frame in sorted(dataset.frames, key=lambda frame: frame.name):
        path = frame.source.path
        number = frame.source.frame if isinstance(frame.source, VideoSource) else None
        objects = [[one.category, one.box, one.segmentation, one.crowd, one.track] for one in frame.instances]
        entry = [frame.name, frame.height, frame.width, relative(dataset.root, path), number, contents[path], objects]
        digest.update(json.dumps(entry).encode())
    return digest.hexdigest()
