"""Joining the categories of several files by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from goodfit.data.instances import kinds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goodfit.data.instances.coco import RawFile
    from goodfit.data.instances.findings import Findings


def join_categories(files: Sequence[RawFile], findings: Findings) -> tuple[tuple[str, ...], list[str]]:
    """List the categories of all files, by name, in the order of ids of the first file that has them.

    Left out is a parent of others of which there is no object: an entry that some exports put first (roboflow's
    id 0).

    Returns:
        The names, and notes.
    """
    used = {
        file.categories.get(str(entry.get("category_id")))
        for file in files
        for image in file.images
        for entry in image.annotations
    }
    listed = list(dict.fromkeys(name for file in files for name in file.categories.values()))
    parents = {name for file in files for name in file.parents if name not in used}
    names = [name for name in listed if name not in parents]
    notes = [
        f"category {name!r} is left out: it is the parent of others, and no object is of it"
        for name in listed
        if name in parents
    ]
    _compare_numbers(files, findings)
    _compare_spellings(names, findings)
    return tuple(names), notes


def _compare_numbers(files: Sequence[RawFile], findings: Findings) -> None:
    first: dict[str, tuple[str, str]] = {}
    for file in files:
        for identity, name in file.categories.items():
            known, where = first.setdefault(identity, (name, file.shown))
            if known != name:
                example = f"{identity} is {name!r}, in {where} {known!r}"
                findings.add(kinds.CATEGORY_NUMBERS_DIFFER, file.shown, example)


def _compare_spellings(names: Sequence[str], findings: Findings) -> None:
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(re.sub(r"[\s_\-]+", "", name.casefold()), []).append(name)
    for spellings in alike.values():
        if len(spellings) > 1:
            findings.add(kinds.CATEGORY_SIMILAR, "", " and ".join(map(repr, spellings)))
