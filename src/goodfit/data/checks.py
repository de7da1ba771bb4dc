"""``goodfit check``: every problem of a whole dataset in one result."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from goodfit.data.dataset import content_key
from goodfit.data.digests import Digests
from goodfit.data.inspection import Inspected, inspect_case
from goodfit.data.layouts import relative
from goodfit.data.problems import Problem, ProblemTable, Severity
from goodfit.data.wording import counted, some

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from goodfit.data.dataset import Case, Dataset
    from goodfit.data.geometry import Image
    from goodfit.data.splits import Split

    Visitor = Callable[[Case, Image, npt.NDArray[np.int16] | npt.NDArray[np.int32]], None]

__all__ = ["CheckResult", "Problem", "check_dataset", "check_key"]

FEWEST_GROUPS = 3
"""A class in fewer groups cannot be in each of train, validation and test."""


@dataclass
class CheckResult(ProblemTable):
    """What a check found.

    Attributes:
        problems: errors first, then by case.
        cases_checked: number of cases read, test cases included.
        voxels: case -> label value -> number of voxels, background included; cases whose label could be read.
        identical: names of cases with one and the same image, a list for each such image; for ``make_split``.
        key: ``check_key`` of what was checked, where the result is kept.
    """

    cases_checked: int
    voxels: dict[str, dict[int, int]] = field(default_factory=dict)
    identical: list[list[str]] = field(default_factory=list)
    key: str = ""

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> CheckResult:
        """Rebuild a result from ``to_dict``'s result, also after JSON has made the label values strings."""
        return cls(
            problems=[Problem(**problem) for problem in value["problems"]],
            cases_checked=int(value["cases_checked"]),
            voxels={
                case: {int(label): int(count) for label, count in counts.items()}
                for case, counts in value["voxels"].items()
            },
            identical=[list(names) for names in value["identical"]],
            key=str(value["key"]),
        )


def check_key(dataset: Dataset, digests: Digests | None = None) -> str:
    """Digest all that a check depends on, to tell whether an earlier result still holds.

    Args:
        dataset: that was checked.
        digests: what is known of its files; None: all are hashed.

    Raises:
        DatasetError: a file cannot be read.
    """
    digests = digests or Digests()
    groups = [[case.name, case.group, case.label is None] for case in (*dataset.cases, *dataset.test_cases)]
    unlabelled = digests.of_all(file for case in dataset.test_cases if case.label is None for file in case.images)
    bare = [[relative(dataset.root, file), content] for file, content in unlabelled.items()]
    parts = [content_key(dataset, digests), groups, bare, [asdict(problem) for problem in dataset.problems]]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()


def check_dataset(
    dataset: Dataset,
    *,
    split: Split | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    visitor: Visitor | None = None,
) -> CheckResult:
    """Read every case and report every problem.

    Threads read the files, one case per thread in memory.

    Args:
        dataset: what ``open_dataset`` found.
        split: where given, identical images across its sets are named as such.
        workers: number of threads; None: one per processor, 8 at most.
        on_progress: called with the number of cases done and of all cases.
        visitor: called as ``visitor(case, image, label)`` for each labelled case (``dataset.cases``) that has no
            error, from the thread that read it, so that others need not read the files again. It must be safe to
            call from several threads at once; its own errors end the check.
    """
    test_names = {case.name for case in dataset.test_cases}
    cases = (*dataset.cases, *dataset.test_cases)

    def work(case: Case) -> Inspected:
        result = inspect_case(case, dataset)
        if visitor is not None and case.name not in test_names and result.usable:
            assert result.image is not None
            assert result.label is not None
            visitor(case, result.image, result.label)
        result.image = result.label = None
        return result

    inspected: dict[str, Inspected] = {}
    threads = workers or min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads, thread_name_prefix="check") as pool:
        waiting = {pool.submit(work, case): case for case in cases}
        try:
            for done, future in enumerate(as_completed(waiting), start=1):
                inspected[waiting[future].name] = future.result()
                if on_progress is not None:
                    on_progress(done, len(cases))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    problems = [*dataset.problems]
    for case in cases:
        problems += inspected[case.name].problems
    identical = _identical_images(cases, inspected)
    problems += _leaks(identical, inspected, dataset, split)
    voxels = {case.name: inspected[case.name].voxels for case in cases if inspected[case.name].voxels}
    problems += _rare_classes(dataset, voxels)
    problems.sort(key=lambda problem: (problem.severity != "error", problem.case, problem.file))
    names = [[case.name for case in same] for same in identical]
    return CheckResult(problems, len(cases), voxels, names)


def _identical_images(cases: Sequence[Case], inspected: Mapping[str, Inspected]) -> list[list[Case]]:
    same: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        digest = inspected[case.name].image_digest
        if digest is not None:
            same[digest].append(case)
    return [found for found in same.values() if len(found) > 1]


def _leaks(
    identical: Sequence[Sequence[Case]], inspected: Mapping[str, Inspected], dataset: Dataset, split: Split | None
) -> list[Problem]:
    """Name images that occur under several names.

    ``make_split`` keeps them in one set, so by themselves they are a warning. They are an error where two sets hold
    them already: a given split, or imagesTr and labelled imagesTs.
    """
    places = {case.name: "imagesTs" if case.label is not None else "" for case in dataset.test_cases}
    places |= {case.name: "imagesTr" for case in dataset.cases} if split is None else split.set_of()
    problems = []
    for first, *others in identical:
        for other in others:
            here, there = places.get(first.name), places.get(other.name)
            leaks = bool(here and there) and here != there
            what = f"is the same image as {first.name}"
            what += f", which is in {here}, and this one in {there}" if leaks else ""
            remedy = "Remove one of the two" + (", or put both into one set." if leaks and split is not None else ".")
            digests = (inspected[first.name].label_digest, inspected[other.name].label_digest)
            if all(digests) and digests[0] != digests[1]:
                what += "; their labels differ"
                remedy = "Keep the one with the better label and remove the other."
            severity: Severity = "error" if leaks else "warning"
            problems.append(Problem(severity, other.name, relative(dataset.root, other.images[0]), what, remedy))
    return problems


def _rare_classes(dataset: Dataset, voxels: Mapping[str, Mapping[int, int]]) -> list[Problem]:
    """Warn of classes that cannot be in each of the three sets."""
    problems = []
    for name, values in dataset.labels.classes.items():
        groups = {
            case.group
            for case in (*dataset.cases, *dataset.test_cases)
            if any(voxels.get(case.name, {}).get(value) for value in values)
        }
        if len(groups) >= FEWEST_GROUPS:
            continue
        where = f"only {counted(len(groups), 'group')} ({some(sorted(groups))})" if groups else "no case"
        what = f"class {name!r} occurs in {where}; fewer than {FEWEST_GROUPS} cannot cover train, validation and test"
        remedy = "Add cases that hold it, or remove the class from labels in dataset.json."
        problems.append(Problem("warning", "", "dataset.json", what, remedy))
    return problems
