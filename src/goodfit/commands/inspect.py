"""Checking and measuring a dataset in one reading of its files, remembered while the files stay the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from goodfit.commands.places import known_digests
from goodfit.data.checks import CheckResult, check_dataset, check_key
from goodfit.data.dataset import Dataset, content_key, open_dataset
from goodfit.data.instances.dataset import is_instance_dataset
from goodfit.errors import DatasetError
from goodfit.files import read_json, write_json
from goodfit.interop.nnunet.inspect_arrays import inspect_arrays
from goodfit.observer import Observer
from goodfit.planning.fingerprint import Fingerprint, combine, load_fingerprint, save_fingerprint
from goodfit.planning.measurement import CaseMeasurement, measure_case, values_per_case

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from goodfit.data.dataset import Case
    from goodfit.data.digests import Digests
    from goodfit.data.instances.checks import InstanceCheck
    from goodfit.data.readers import Image


_CHECK = "check.json"
_FINGERPRINT = "fingerprint.json"


def inspect(
    dataset: Dataset, cache: Path, observer: Observer, *, fresh: bool = False
) -> tuple[CheckResult, Fingerprint | None]:
    """Check a dataset and take its fingerprint, or recall both from ``cache`` (unless ``fresh``).

    Returns:
        The check's result, and the fingerprint; None when the check found errors, and of a preprocessed dataset, whose
        images are not there to be measured.
    """
    if dataset.layout == "preprocessed":
        return inspect_arrays(dataset, cache, observer, fresh=fresh), None
    with known_digests(cache) as digests:
        recalled = None if fresh else _recall(dataset, cache, digests)
        if recalled is not None:
            observer.note(
                f"check and fingerprint of {len(dataset.cases)} cases: as before, the dataset has not changed"
            )
            return recalled
        return _read(dataset, cache, observer, digests)


def _read(
    dataset: Dataset, cache: Path, observer: Observer, digests: Digests
) -> tuple[CheckResult, Fingerprint | None]:
    measurements: list[CaseMeasurement] = []
    values = values_per_case(len(dataset.cases))

    def visit(case: Case, image: Image, label: npt.NDArray[np.integer]) -> None:
        measurements.append(measure_case(case.name, image, label, values=values))
        # Now, while they have just been read.
        for file in case.files:
            digests.require(file)

    observer.stage("check and fingerprint")
    result = check_dataset(dataset, on_progress=observer.advance, visitor=visit)
    if not result.ok:
        return result, None
    result = replace(result, key=check_key(dataset, digests))
    fingerprint = combine(measurements, content_key(dataset, digests))
    save_fingerprint(fingerprint, cache / _FINGERPRINT)
    write_json(cache / _CHECK, result.to_dict())
    return result, fingerprint


def _recall(dataset: Dataset, cache: Path, digests: Digests) -> tuple[CheckResult, Fingerprint] | None:
    if not ((cache / _CHECK).is_file() and (cache / _FINGERPRINT).is_file()):
        return None
    result = CheckResult.from_dict(read_json(cache / _CHECK, DatasetError))
    fingerprint = load_fingerprint(cache / _FINGERPRINT)
    same = result.key == check_key(dataset, digests) and fingerprint.key == content_key(dataset, digests)
    return (result, fingerprint) if same else None


def check(
    dataset: str | Path,
    *,
    group_by: str | None = None,
    workers: int | None = None,
    observer: Observer | None = None,
) -> CheckResult | InstanceCheck:
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
    if is_instance_dataset(Path(dataset)):
        from goodfit.data.instances.checks import check_instances

        observer.stage("check")
        return check_instances(Path(dataset), group_by=group_by, workers=workers, on_progress=observer.advance)
    opened = open_dataset(Path(dataset), group_by=group_by)
    if opened.layout == "preprocessed":
        return inspect_arrays(opened, None, observer, workers=workers)
    observer.stage("check")
    return check_dataset(opened, workers=workers, on_progress=observer.advance)
