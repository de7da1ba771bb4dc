"""Finding the files of each case in nnU-Net's raw layout and in the plain layout."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goodfit.data.formats import list_images, stem_of
from goodfit.data.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_CHANNEL = re.compile(r"^(.+)_(\d{4})$")


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case.

    Attributes:
        images: one file per channel, or one file with all of them.
        label: the label file, or None.
    """

    images: tuple[Path, ...]
    label: Path | None


def group_images(files: list[Path], ending: str | None, whole: frozenset[str] = frozenset()) -> dict[str, list[Path]]:
    """Sort image files into cases: CASE_0000.ext, CASE_0001.ext, ... or CASE.ext.

    Args:
        files: image files, sorted by name.
        ending: dataset.json's file_ending, or None.
        whole: names known to be those of cases (from the labels), never taken apart at ``_0000``. Where it is
            empty and no file ends in ``_0000``, such numbers are part of the names too.

    Returns:
        Case name -> its files in channel order.
    """
    cases: dict[str, list[tuple[int, Path]]] = {}
    stems = [stem_of(file.name, ending) for file in files]
    numbered = bool(whole) or any(stem.endswith("_0000") for stem in stems)
    for file, stem in zip(files, stems, strict=True):
        match = _CHANNEL.match(stem)
        if match is None or not numbered or (stem in whole and match[1] not in whole):
            cases.setdefault(stem, []).append((0, file))
        else:
            cases.setdefault(match[1], []).append((int(match[2]), file))
    return {name: [file for _, file in sorted(entries)] for name, entries in sorted(cases.items())}


def channel_gaps(name: str, files: list[Path], ending: str | None, channels: int | None) -> str | None:
    """Say which channel files of a case are missing or too many, or None where they are complete.

    Args:
        name: the case.
        files: its image files in channel order.
        ending: dataset.json's file_ending, or None.
        channels: how many dataset.json names; None: unknown. One file may hold several channels by itself.
    """
    numbers = []
    for file in files:
        match = _CHANNEL.match(stem_of(file.name, ending))
        numbers.append(int(match[2]) if match and match[1] == name else 0)
    expected = list(range(len(files) if channels is None or len(files) == 1 else channels))
    if numbers == expected:
        return None
    missing = [f"_{number:04d}" for number in expected if number not in numbers]
    extra = [file.name for number, file in zip(numbers, files, strict=True) if number not in expected]
    twice = [file.name for index, file in enumerate(files) if numbers[index] in numbers[:index]]
    parts = [f"channel file {', '.join(missing)} is missing"] if missing else []
    parts += [f"{', '.join(extra)} is a channel too many"] if extra else []
    parts += [f"{', '.join(twice)} is a second file for one channel"] if twice else []
    return "; ".join(parts)


def match_folders(
    root: Path, images: str, labels: str, ending: str | None, channels: int | None
) -> tuple[dict[str, CaseFiles], list[Problem]]:
    """Match the images of one folder with the labels of another.

    Args:
        root: the dataset folder.
        images: name of the image folder, which exists.
        labels: name of the label folder, which may be missing: then no case has a label and none is missed.
        ending: dataset.json's file_ending, or None for every supported ending.
        channels: number of channels named in dataset.json, or None.

    Returns:
        The cases whose files are complete, and a problem for each that is not.
    """
    problems: list[Problem] = []
    label_files: dict[str, Path] = {}
    has_labels = (root / labels).is_dir()
    for file in list_images(root / labels, ending) if has_labels else []:
        stem = stem_of(file.name, ending)
        if stem in label_files:
            what = f"second label file beside {label_files[stem].name}"
            problems.append(_error(stem, root, file, what, "Remove one of the two."))
        label_files.setdefault(stem, file)
    grouped = group_images(list_images(root / images, ending), ending, frozenset(label_files))
    found: dict[str, CaseFiles] = {}
    for name, files in grouped.items():
        label = label_files.pop(name, None)
        gaps = channel_gaps(name, files, ending, channels)
        if gaps is not None:
            remedy = "Add or remove files until every case has one per channel of channel_names in dataset.json."
            problems.append(_error(name, root, files[0], gaps, remedy))
        if label is None and has_labels:
            remedy = (
                f"Add {labels}/{name}{ending or files[0].name[len(stem_of(files[0].name)) :]}, or remove the image."
            )
            problems.append(_error(name, root, files[0], "there is no label for this image", remedy))
        elif gaps is None:
            found[name] = CaseFiles(tuple(files), label)
    for name, file in label_files.items():
        remedy = f"Add its image to {images}, or remove the label."
        problems.append(_error(name, root, file, "there is no image for this label", remedy))
    return found, problems


def listed_files(
    root: Path, files: Mapping[str, tuple[tuple[str, ...], str | None]]
) -> tuple[dict[str, CaseFiles], list[Problem]]:
    """Take the cases from dataset.json's explicit ``dataset`` entry; paths are relative to ``root``."""
    found: dict[str, CaseFiles] = {}
    problems: list[Problem] = []
    for name, (images, label) in files.items():
        paths = [root / path for path in (*images, *((label,) if label else ()))]
        absent = [path for path in paths if not path.is_file()]
        for path in absent:
            remedy = "Mend the path under dataset in dataset.json, or add the file."
            problems.append(_error(name, root, path, "there is no such file", remedy))
        if label is None:
            remedy = "Name its label under dataset in dataset.json, or remove the entry."
            problems.append(_error(name, root, paths[0], "there is no label for this image", remedy))
        elif not absent:
            found[name] = CaseFiles(tuple(paths[:-1]), paths[-1])
    return found, problems


def relative(root: Path, file: Path) -> str:
    """Give a path as a user writes it: relative to the dataset folder where it lies inside."""
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)


def _error(case: str, root: Path, file: Path, what: str, remedy: str) -> Problem:
    return Problem("error", case, relative(root, file), what, remedy)
