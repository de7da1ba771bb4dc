"""Opening a dataset folder: which cases there are, which files and groups they have, and the classes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from goodfit.data.description import read_description
from goodfit.data.digests import Digests
from goodfit.data.formats import ending_of, list_images, stem_of
from goodfit.data.groups import assign_groups
from goodfit.data.layouts import CaseFiles, listed_files, match_folders, relative
from goodfit.data.preprocessed import is_preprocessed, preprocessed_cases
from goodfit.data.problems import Problem
from goodfit.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from goodfit.data.labels import Labels

Layout = Literal["nnunet", "plain", "preprocessed"]


@dataclass(frozen=True)
class Case:
    """One volume or image with its label.

    Attributes:
        name: unique within the dataset.
        images: one file per channel, or one file that holds all channels; of a preprocessed dataset its arrays, one file
            for each configuration.
        label: the label file, or None for test images without one.
        group: what must not be split across sets; the case's own name where no groups are given.
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None
    group: str

    @property
    def files(self) -> tuple[Path, ...]:
        """Images, then the label where there is one."""
        return self.images if self.label is None else (*self.images, self.label)


@dataclass(frozen=True)
class Dataset:
    """A dataset folder, listed but not read.

    Attributes:
        root: the folder, absolute.
        name: from dataset.json, else the folder's.
        channels: channel names.
        labels: the classes.
        file_ending: of the images, with the dot; predictions are written as ``label_ending`` of it.
        layout: nnU-Net's raw layout, images/ beside labels/, or a folder of nnUNet_preprocessed.
        cases: the labelled cases, sorted by name.
        test_cases: the cases of imagesTs; ``label`` is set where labelsTs has one.
        grouped: groups were given, instead of one group per case.
        problems: what the listing showed: missing labels, missing channels. Such cases are in neither tuple.
    """

    root: Path
    name: str
    channels: tuple[str, ...]
    labels: Labels
    file_ending: str
    layout: Layout
    cases: tuple[Case, ...]
    test_cases: tuple[Case, ...] = ()
    grouped: bool = False
    problems: tuple[Problem, ...] = field(default=(), repr=False)

    @cached_property
    def _by_name(self) -> dict[str, Case]:
        return {case.name: case for case in (*self.test_cases, *self.cases)}

    @property
    def class_values(self) -> Mapping[str, Sequence[int]]:
        """Class -> the label values that it stands for."""
        return self.labels.classes

    def case(self, name: str) -> Case:
        """Find a case by name among the labelled and the test cases.

        Raises:
            DatasetError: there is no such case.
        """
        if name not in self._by_name:
            raise DatasetError(f"{self.root}: there is no case {name!r}.")
        return self._by_name[name]


def open_dataset(root: Path, *, group_by: str | None = None) -> Dataset:
    """List a dataset: nnU-Net's raw layout where dataset.json is there, else images/ beside labels/; or preprocessed.

    Image files are not read, except that the plain layout takes its classes from the label files.

    Args:
        root: the dataset folder.
        group_by: regular expression on the case name; its first group, or else the whole match, names the group.
            It takes the place of groups.json or groups.csv.

    Raises:
        DatasetError: the folder is no dataset, dataset.json is wrong, or the groups do not cover the cases.
    """
    root = Path(root).expanduser().absolute()
    if not root.is_dir():
        raise DatasetError(f"{root}: there is no such folder.")
    if is_preprocessed(root):
        return _open_preprocessed(root, group_by)
    if (root / "dataset.json").is_file():
        return _open_nnunet(root, group_by)
    if (root / "images").is_dir() and (root / "labels").is_dir():
        return _open_plain(root, group_by)
    raise DatasetError(
        f"{root}: this is no dataset folder. Looked for dataset.json with imagesTr/ and labelsTr/ (nnU-Net's raw "
        "layout) or with gt_segmentations/ (nnUNet_preprocessed), and for images/ with labels/ (files of equal names)."
    )


def _open_nnunet(root: Path, group_by: str | None) -> Dataset:
    description = read_description(root / "dataset.json")
    ending, channels = description.file_ending, len(description.channels)
    if description.files is not None:
        found, problems = listed_files(root, description.files)
    else:
        for folder in ("imagesTr", "labelsTr"):
            if not (root / folder).is_dir():
                raise DatasetError(f"{root}: dataset.json is there, the folder {folder} is not. Add it.")
        ending = ending or _infer_ending(root / "imagesTr")
        found, problems = match_folders(root, "imagesTr", "labelsTr", ending, channels)
        _require_any(found, problems, root / "imagesTr", ending)
    tests: dict[str, CaseFiles] = {}
    if (root / "imagesTs").is_dir():
        tests, more = match_folders(root, "imagesTs", "labelsTs", ending, channels)
        problems += more
    return _assemble(
        Dataset(
            root=root,
            name=description.name or root.name,
            channels=description.channels,
            labels=description.labels,
            file_ending=ending or _ending_in_use(found.values()),
            layout="nnunet",
            cases=(),
        ),
        found,
        tests,
        problems,
        group_by,
    )


def _open_preprocessed(root: Path, group_by: str | None) -> Dataset:
    description = read_description(root / "dataset.json")
    found, problems = preprocessed_cases(root)
    return _assemble(
        Dataset(
            root=root,
            name=description.name or root.name,
            channels=description.channels,
            labels=description.labels,
            file_ending=description.file_ending or _ending_in_use(found.values()),
            layout="preprocessed",
            cases=(),
        ),
        found,
        {},
        problems,
        group_by,
    )


def _open_plain(root: Path, group_by: str | None) -> Dataset:
    found, problems = match_folders(root, "images", "labels", None, None)
    _require_any(found, problems, root / "images", None)
    from goodfit.data.inferring import infer_channels, infer_labels

    return _assemble(
        Dataset(
            root=root,
            name=root.name,
            channels=infer_channels([files.images for files in found.values()]),
            labels=infer_labels([files.label for files in found.values() if files.label is not None], root),
            file_ending=_ending_in_use(found.values()),
            layout="plain",
            cases=(),
        ),
        found,
        {},
        problems,
        group_by,
    )


def _assemble(
    dataset: Dataset,
    found: Mapping[str, CaseFiles],
    tests: dict[str, CaseFiles],
    problems: list[Problem],
    group_by: str | None,
) -> Dataset:
    """Give the cases their groups and put everything together."""
    for name in sorted(found.keys() & tests.keys()):
        files = tests.pop(name)
        what = "a case of this name is in imagesTr too"
        remedy = "Rename one of the two, or remove it from imagesTs if it is the same image."
        problems.append(Problem("error", name, relative(dataset.root, files.images[0]), what, remedy))
    groups = assign_groups(dataset.root, list(found), list(tests), group_by)
    return Dataset(
        root=dataset.root,
        name=dataset.name,
        channels=dataset.channels,
        labels=dataset.labels,
        file_ending=dataset.file_ending,
        layout=dataset.layout,
        cases=_cases(found, groups.of_case),
        test_cases=_cases(tests, groups.of_case),
        grouped=groups.given,
        problems=(*problems, *groups.problems),
    )


def _cases(found: Mapping[str, CaseFiles], groups: Mapping[str, str]) -> tuple[Case, ...]:
    return tuple(Case(name, files.images, files.label, groups[name]) for name, files in sorted(found.items()))


def _infer_ending(folder: Path) -> str | None:
    counts = Counter((ending_of(file.name) or "").lower() for file in list_images(folder))
    return counts.most_common(1)[0][0] if counts else None


def _ending_in_use(found: Iterable[CaseFiles]) -> str:
    counts: Counter[str] = Counter()
    for files in found:
        file = files.label or files.images[0]
        counts[file.name[len(stem_of(file.name)) :].lower()] += 1
    return counts.most_common(1)[0][0] if counts else ".nii.gz"


def _require_any(found: Mapping[str, CaseFiles], problems: list[Problem], folder: Path, ending: str | None) -> None:
    if found or problems:
        return
    others = Counter((ending_of(file.name) or "").lower() for file in list_images(folder))
    hint = f" It holds files ending in {', '.join(sorted(others))}: mend file_ending in dataset.json." if others else ""
    raise DatasetError(f"{folder}: there are no image files{f' ending in {ending}' if ending else ''}.{hint}")


def content_key(dataset: Dataset, digests: Digests | None = None) -> str:
    """Digest what preprocessing depends on: channels, classes, and name and content of every labelled file.

    Of nnU-Net's preprocessed arrays, which may take hundreds of GB, the size counts, and the content of its notes on
    each case: the arrays are not read.

    Args:
        dataset: as ``open_dataset`` gave it.
        digests: what is known of the files; None: all are hashed.

    Returns:
        16 hexadecimal digits, the same for a copy of the dataset elsewhere. Groups and unlabelled test images have no
        influence.

    Raises:
        DatasetError: a file cannot be read.
    """
    labels = dataset.labels
    digest = hashlib.blake2b(digest_size=8)
    classes = [[name, list(values)] for name, values in labels.classes.items()]
    digest.update(json.dumps([dataset.channels, classes, labels.ignore, labels.regions_order]).encode())
    cases = (*dataset.cases, *(case for case in dataset.test_cases if case.label is not None))
    digests = digests or Digests()
    files = [(case.name, file) for case in cases for file in case.files]
    contents: Mapping[Path, str | int]
    if dataset.layout == "preprocessed":
        contents = {file: file.stat().st_size for _, file in files}
        notes = digests.of_all(image.with_suffix(".pkl") for case in cases for image in case.images)
        digest.update(json.dumps(list(notes.values())).encode())
    else:
        contents = digests.of_all(file for _, file in files)
    for name, file in files:
        digest.update(json.dumps([name, relative(dataset.root, file), contents[file]]).encode())
    return digest.hexdigest()
