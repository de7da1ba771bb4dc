"""Checking a folder of nnUNet_preprocessed: nnU-Net has read the images, its notes on each case are read here."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from goodfit.data.checks import CheckResult, check_key
from goodfit.data.layouts import relative
from goodfit.data.problems import Problem
from goodfit.errors import DatasetError
from goodfit.files import read_json, write_json
from goodfit.interop.nnunet.case_file import read_case_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from goodfit.data.dataset import Case, Dataset
    from goodfit.observer import Observer


def inspect_arrays(
    dataset: Dataset, cache: Path | None, observer: Observer, *, workers: int | None = None, fresh: bool = False
) -> CheckResult:
    """Read the notes (CASE.pkl) of every case, or recall what they said.

    The result's ``voxels`` are the numbers of voxels that nnU-Net noted, some ten thousand of a class at most: enough
    to know which classes a case has.

    Args:
        dataset: preprocessed.
        cache: where the result is kept, or None.
        observer: told about the progress.
        workers: threads.
        fresh: do not recall.
    """
    file = None if cache is None else cache / "check-preprocessed.json"
    if file is not None and file.is_file() and not fresh:
        recalled = CheckResult.from_dict(read_json(file, DatasetError))
        if recalled.key == _key(dataset):
            return recalled
    observer.stage("read nnU-Net's notes on the cases")
    problems = list(dataset.problems)
    voxels: dict[str, dict[int, int]] = {}
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for done, (case, found) in enumerate(
            zip(dataset.cases, pool.map(_classes_of, dataset.cases), strict=True), start=1
        ):
            if isinstance(found, str):
                remedy = "Run nnUNetv2_preprocess again."
                problems.append(Problem("error", case.name, relative(dataset.root, case.images[0]), found, remedy))
            else:
                voxels[case.name] = dict(found)
            observer.advance(done, len(dataset.cases))
    result = CheckResult(problems, len(dataset.cases), voxels)
    if file is not None and result.ok:
        result = replace(result, key=check_key(dataset))
        write_json(file, result.to_dict())
    return result


def _key(dataset: Dataset) -> str | None:
    """Key of the dataset as it is; None where files are missing, which the check will say."""
    try:
        return check_key(dataset)
    except DatasetError:
        return None


def _classes_of(case: Case) -> Mapping[int, int] | str:
    """Give label value -> voxels noted, or what is wrong with the notes."""
    try:
        counts = read_case_file(case.images[0].with_suffix(".pkl")).counts()
    except DatasetError as error:
        return str(error)
    # Of regions that lie in each other, the smallest with a value says most about it.
    ordered = sorted(counts.items(), key=lambda item: -len(item[0]))
    return {value: count for values, count in ordered for value in values}
