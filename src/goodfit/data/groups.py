"""Groups: which cases belong to one patient or video, from groups.json, groups.csv or a regular expression."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goodfit.data.problems import Problem
from goodfit.data.wording import some
from goodfit.errors import DatasetError
from goodfit.files import read_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Groups:
    """Case name -> group for every case.

    Attributes:
        of_case: the group of each case; the case's own name where none is given.
        given: whether groups came from the user.
        problems: entries for cases that are not there.
    """

    of_case: dict[str, str]
    given: bool
    problems: tuple[Problem, ...] = ()


def assign_groups(root: Path, cases: Sequence[str], test_cases: Sequence[str], group_by: str | None) -> Groups:
    """Find the group of every case.

    Args:
        root: the dataset folder, where groups.json or groups.csv may lie.
        cases: names of the labelled cases; each must have a group once groups are given.
        test_cases: names of the cases of imagesTs; one without a group is a group by itself.
        group_by: regular expression on case names, instead of the file.

    Raises:
        DatasetError: the file or the expression is wrong, or leaves cases without a group.
    """
    if group_by is not None:
        return Groups(_by_expression(group_by, cases, test_cases), True)
    known = set(cases) | set(test_cases)
    files = [root / name for name in ("groups.json", "groups.csv") if (root / name).is_file()]
    if not files:
        return Groups({name: name for name in known}, False)
    if len(files) > 1:
        raise DatasetError(f"{root}: there are groups.json and groups.csv. Remove one of them.")
    file = files[0]
    given = _read_json(file) if file.suffix == ".json" else _read_csv(file)
    missing = sorted(set(cases) - given.keys())
    if missing:
        raise DatasetError(f"{file}: {some(missing)} {_have(missing)} no group. Add a line for each case.")
    unknown = sorted(given.keys() - known)
    problems = tuple(
        Problem("warning", name, file.name, "groups are given for a case that is not there", "Remove the entry.")
        for name in unknown
    )
    return Groups({name: given.get(name, name) for name in known}, True, problems)


def _by_expression(group_by: str, cases: Sequence[str], test_cases: Sequence[str]) -> dict[str, str]:
    try:
        expression = re.compile(group_by)
    except re.error as error:
        raise DatasetError(f"--group-by {group_by!r}: not a regular expression ({error}).") from error
    groups: dict[str, str] = {}
    missing = []
    for name in (*cases, *test_cases):
        match = expression.search(name)
        group = None if match is None else match[1] if expression.groups else match[0]
        if not group:
            missing.append(name)
        else:
            groups[name] = group
    if missing:
        raise DatasetError(
            f"--group-by {group_by!r}: gives no group for {some(sorted(missing))}. Write an expression that matches "
            "every case name; its first (...) is the group."
        )
    return groups


def _read_json(file: Path) -> dict[str, str]:
    content = read_json(file, DatasetError)
    if not isinstance(content, dict) or not content:
        raise DatasetError(f'{file}: should map cases to groups: {{"case_001": "patient_1", ...}}.')
    groups: dict[str, str] = {}
    for key, value in content.items():
        # Also group -> [cases], which some write.
        pairs = [(case, key) for case in value] if isinstance(value, list) else [(key, value)]
        for case, group in pairs:
            if not isinstance(case, str) or isinstance(group, bool) or not isinstance(group, str | int):
                raise DatasetError(f"{file}: the entry {key!r} is neither case -> group nor group -> list of cases.")
            _add(groups, case, str(group), file)
    return groups


def _read_csv(file: Path) -> dict[str, str]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{file}: cannot be read as UTF-8 text. Save it again as CSV in UTF-8.") from error
    lines = [line for line in text.splitlines() if line.strip()]
    delimiter = next((mark for mark in ",;\t" if lines and mark in lines[0]), ",")
    groups: dict[str, str] = {}
    for number, row in enumerate(csv.reader(lines, delimiter=delimiter), start=1):
        cells = [cell.strip() for cell in row]
        if number == 1 and cells[0].lower() == "case":
            continue
        if len(cells) < 2 or not cells[0] or not cells[1]:
            raise DatasetError(f"{file}: line {number} should hold case,group; it holds {delimiter.join(row)!r}.")
        _add(groups, cells[0], cells[1], file)
    if not groups:
        raise DatasetError(f"{file}: holds no groups. Write one line case,group for each case.")
    return groups


def _add(groups: dict[str, str], case: str, group: str, file: Path) -> None:
    if groups.setdefault(case, group) != group:
        raise DatasetError(f"{file}: the case {case!r} is in two groups, {groups[case]!r} and {group!r}. Keep one.")


def _have(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"
