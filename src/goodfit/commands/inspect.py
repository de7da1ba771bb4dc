"""Checking and measuring a dataset in one reading of its files, remembered while the files stay the same."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from goodfit.data.checks import CheckResult, check_dataset
from goodfit.data.dataset import Dataset, content_key, open_dataset
from goodfit.errors import DatasetError
from goodfit.files import read_json, write_json
from goodfit.observer import Observer
from goodfit.planning.fingerprint import CaseMeasurement, Fingerprint, combine, measure_case

if TYPE_CHECKING:
    import numpy as np

    from goodfit.data.readers import Image

logger = logging.getLogger(__name__)


def inspect(dataset: Dataset, cache: Path, observer: Observer) -> tuple[CheckResult, Fingerprint | None]:
    """Check a dataset and take its fingerprint, or recall both from ``cache``.

    Returns:
        The check's result, and the fingerprint; None when the check found errors.
    """
    key = content_key(dataset)
    check_file, fingerprint_file = cache / "check.json", cache / "fingerprint.json"
    recalled = _recall(key, check_file, fingerprint_file)
    if recalled is not None:
        observer.note(f"check and fingerprint of {len(dataset.cases)} cases: as before, the dataset has not changed")
        return recalled
    measurements: dict[str, CaseMeasurement] = {}

    def visit(case: str, image: Image, label: np.ndarray | None) -> None:
        if label is not None:
            measurements[case] = measure_case(image, label, dataset.labels)

    observer.stage("check and fingerprint")
    result = check_dataset(dataset, on_progress=observer.advance, visitor=visit)
    if not result.ok:
        return result, None
    training = [case.name for case in dataset.cases]
    fingerprint = combine({name: measurements[name] for name in training}, key=key)
    write_json(fingerprint_file, fingerprint.model_dump(mode="json"))
    write_json(check_file, {"key": key, **result.to_dict()})
    return result, fingerprint


def _recall(key: str, check_file: Path, fingerprint_file: Path) -> tuple[CheckResult, Fingerprint] | None:
    if not (check_file.is_file() and fingerprint_file.is_file()):
        return None
    value = read_json(check_file, DatasetError)
    if value.pop("key", None) != key:
        return None
    fingerprint = Fingerprint.model_validate(read_json(fingerprint_file, DatasetError))
    return (CheckResult.from_dict(value), fingerprint) if fingerprint.key == key else None


def check(
    dataset: str | Path,
    *,
    group_by: str | None = None,
    workers: int | None = None,
    observer: Observer | None = None,
) -> CheckResult:
    """Look for every problem of a dataset: unreadable files, mismatches, unknown labels, duplicates.

    Args:
        dataset: folder in nnU-Net's raw layout, or with ``images/`` and ``labels/``.
        group_by: regular expression on the case name that gives the group.
        workers: threads; each holds one case in memory. Default: one per core.
        observer: told about the progress.

    Returns:
        All problems found; ``result.ok`` is False when one of them is an error.

    Raises:
        DatasetError: the folder is no dataset, or its dataset.json cannot be used.
    """
    observer = observer or Observer()
    opened = open_dataset(Path(dataset), group_by=group_by)
    observer.stage("check")
    return check_dataset(opened, workers=workers, on_progress=observer.advance)
