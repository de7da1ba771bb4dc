"""Preprocessing a whole dataset: in parallel, atomic per case, resumable."""

from __future__ import annotations

import logging
import os
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
from filelock import FileLock
from threadpoolctl import threadpool_limits

from goodfit.data.readers import read_image, read_label
from goodfit.errors import DatasetError, PlanError, ResourceError
from goodfit.files import require_disk_room, write_json
from goodfit.preprocessing.case import crop_and_normalise, properties_of, resample_case, resampling_of
from goodfit.preprocessing.keys import prepare_folder, store_digest
from goodfit.preprocessing.locations import find_locations
from goodfit.preprocessing.nnunet import data_folder_name, dataset_json
from goodfit.preprocessing.store import Store, link_case, write_case

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from goodfit.data.dataset import Case, Dataset
    from goodfit.planning.plan import Configuration, ConfigurationName, Plan
    from goodfit.preprocessing.case import CroppedCase, Resampling

__all__ = ["preprocess_dataset", "store_digest"]

logger = logging.getLogger(__name__)

LINK_BYTES = 4 * 1024**2
"""Images up to this size are linked between configurations whatever their patches; a bigger one is written
again, in chunks that suit, since reading a slice from blocks made for volumes decompresses too much."""

_ARRAYS_IN_MEMORY = 6
"""Arrays of the size of a case that a worker holds at its peak: file, crop, resampled, two in between, coded."""


@dataclass(frozen=True)
class _Target:
    """A configuration and where its cases go."""

    configuration: Configuration
    store: Store


def preprocess_dataset(
    dataset: Dataset,
    plan: Plan,
    folder: Path,
    *,
    cases: Sequence[str] | None = None,
    configurations: Sequence[ConfigurationName] | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[ConfigurationName, Store]:
    """Preprocess the cases of a dataset for some configurations of a plan.

    Cases that are there already, made from the same data under the same plan, are kept. A folder made for
    another plan is emptied first. Interrupted at any point, the next call goes on with the next case.

    Args:
        dataset: where the cases are.
        plan: says how.
        folder: root of the store; each configuration gets a folder in it.
        cases: names to preprocess; None means all labelled cases.
        configurations: of the plan; None means all of them.
        workers: threads, each with one case in memory; None takes one per core, fewer where memory is short.
        on_progress: called with (cases done, cases in all) at the start and after each case.

    Returns:
        A store per configuration.

    Raises:
        DatasetError: some cases failed; all are named, and the others are kept.
        PlanError: a configuration is not in the plan.
        ResourceError: disk or memory do not suffice.
    """
    names = [case.name for case in dataset.cases] if cases is None else list(cases)
    _refuse_ambiguous(names)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        targets = _prepare_targets(plan, folder, configurations)
        # The cascade shares the arrays of 3d_fullres.
        folders = {target.store.folder: target for target in targets.values()}
        missing = {
            name: [target for target in folders.values() if not target.store.is_complete(name)] for name in names
        }
        todo = [name for name in names if missing[name]]
        write_json(folder / "dataset.json", dataset_json(plan.data, len(dataset.cases)))
        done = len(names) - len(todo)
        if on_progress is not None:
            on_progress(done, len(names))
        if todo:
            _require_room(folder, plan, [target for name in todo for target in missing[name]])
            if workers is None:
                workers = _default_workers(plan)
            wanted = {name: missing[name] for name in todo}
            # Each worker multiplies on its own core: a threaded product per worker only makes them wait for each
            # other (measured: two to three times the processor time for the same wall time).
            with threadpool_limits(limits=1, user_api="blas"):
                _run(dataset, plan, wanted, workers=workers, done=done, on_progress=on_progress)
    return {name: target.store for name, target in targets.items()}


def _prepare_targets(
    plan: Plan, folder: Path, configurations: Sequence[ConfigurationName] | None
) -> dict[ConfigurationName, _Target]:
    targets: dict[ConfigurationName, _Target] = {}
    for name in configurations if configurations is not None else plan.configurations:
        if name not in plan.configurations:
            known = ", ".join(plan.configurations)
            raise PlanError(f"configuration {name!r} is not in this plan, which has: {known}")
        configuration = plan.configurations[name]
        data_folder = folder / data_folder_name(name)
        prepare_folder(data_folder, store_digest(plan.data, configuration))
        targets[name] = _Target(configuration, Store(data_folder))
    return targets


def _run(
    dataset: Dataset,
    plan: Plan,
    missing: dict[str, list[_Target]],
    *,
    workers: int,
    done: int,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    total = done + len(missing)
    failures: dict[str, DatasetError] = {}
    pool = ThreadPoolExecutor(max_workers=max(1, workers), thread_name_prefix="preprocess")
    try:
        names: dict[Future[None], str] = {
            pool.submit(_preprocess_one, dataset.case(name), plan, targets): name for name, targets in missing.items()
        }
        pending = set(names)
        while pending:
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                try:
                    future.result()
                except DatasetError as error:
                    failures[names[future]] = error
                done += 1
                if on_progress is not None:
                    on_progress(done, total)
    finally:
        # On Ctrl-C or an error the cases under way are finished or dropped whole, the others not begun.
        pool.shutdown(wait=True, cancel_futures=True)
    if failures:
        lines = [f"  {name}: {failures[name]}" for name in sorted(failures)]
        raise DatasetError(
            f"{len(failures)} of {total} cases could not be preprocessed (the others are kept):\n" + "\n".join(lines)
        )


def _preprocess_one(case: Case, plan: Plan, targets: Sequence[_Target]) -> None:
    """Read a case once and write it for each configuration; equal outcomes are computed once."""
    if case.label is None:
        raise DatasetError("this case has no label file, and training needs one.")
    labels = plan.data.labels
    try:
        image = read_image(case.images, len(plan.data.channels))
        label, _ = read_label(case.label)
        cropped = crop_and_normalise(image, label, plan.data)
        del image, label
        for resampling, group in _grouped(cropped, targets).items():
            logger.debug("%s: resampling to %s", case.name, resampling.shape)
            array, marked, _ = resample_case(cropped, group[0].configuration)
            assert marked is not None
            locations = find_locations(marked, labels, case.name)
            for number, target in enumerate(group):
                properties = properties_of(cropped, target.configuration)
                if number and array.nbytes <= LINK_BYTES:
                    link_case(group[0].store.folder, target.store.folder, case.name, properties)
                    continue
                write_case(
                    target.store.folder,
                    case.name,
                    array,
                    marked,
                    properties=properties,
                    locations=locations,
                    labels=labels,
                    patch_size=target.configuration.patch_size,
                )
    except MemoryError as error:
        raise ResourceError(
            f"case {case.name}: not enough memory to preprocess it. Use fewer workers or a larger spacing."
        ) from error


def _grouped(case: CroppedCase, targets: Sequence[_Target]) -> dict[Resampling, list[_Target]]:
    """Gather the configurations that give the same arrays, the one with the largest patch first."""
    groups: dict[Resampling, list[_Target]] = {}
    for target in sorted(targets, key=lambda target: -target.configuration.dims):
        groups.setdefault(resampling_of(case, target.configuration), []).append(target)
    return groups


def _refuse_ambiguous(names: Sequence[str]) -> None:
    known = set(names)
    for name in names:
        if f"{name}_seg" in known:
            raise DatasetError(f"cases {name} and {name}_seg would be written to the same file. Rename one of them.")


def _require_room(folder: Path, plan: Plan, writes: Sequence[_Target]) -> None:
    needed = sum(_case_bytes(plan, target.configuration) for target in writes)
    require_disk_room(folder, needed, "the preprocessed data")


def _case_bytes(plan: Plan, configuration: Configuration) -> int:
    """Bytes of a case of median shape: float32 channels and a label, not compressed."""
    z, y, x = configuration.median_shape
    return round(z * y * x * (4 * len(plan.data.channels) + 1))


def _default_workers(plan: Plan) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    largest = max(_case_bytes(plan, configuration) for configuration in plan.configurations.values())
    fitting = psutil.virtual_memory().available // (_ARRAYS_IN_MEMORY * largest)
    return max(1, min(cores, int(fitting)))
