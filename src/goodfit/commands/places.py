"""Where runs and caches lie, and which run a call means."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from goodfit.data.digests import Digests
from goodfit.errors import RunError
from goodfit.training.run_folder import IMPORTED, RunFolder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goodfit.observer import Observer


RUNS = Path("runs")
NOT_A_RUN = {".lock", ".owner", "cache"}
"""What a call that failed before its plan leaves in a folder, and what --fresh leaves in place."""
CHANGEABLE = ("machine.", "prediction.")
"""Settings that a later call may change: they are no part of what is trained."""


PREVIOUS_STAGE = "previous_stage"
"""Folder in the run of a cascade with the runs of its first stage."""
CROSS_RECORD = "cross_validation.json"
"""The record of a cross-validation; the run folders of its folds lie beside it."""


class Located(Protocol):
    """A dataset of any kind."""

    @property
    def root(self) -> Path:
        """Its folder."""
        ...


def lasting(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings that make two runs different."""
    return {name: value for name, value in settings.items() if not name.startswith(CHANGEABLE)}


def cache_folder(dataset: Located, run: Path | None) -> Path:
    """Folder of what all runs of a dataset share: check, fingerprint, preprocessed cases.

    It is ``runs/DATASET/cache``, or ``cache`` inside the run folder when the user chose that with ``--run``. The
    folds of a cross-validation share the cache of its folder, and the first stage of a cascade that of the cascade.
    """
    if run is not None and (run.parent / CROSS_RECORD).is_file():
        run = run.parent
    if run is not None and run.name == PREVIOUS_STAGE and RunFolder(run.parent).record.is_file():
        return cache_folder(dataset, run.parent)
    if run is not None and run.parent.resolve() != (RUNS / dataset.root.name).resolve():
        return run / "cache"
    return RUNS / dataset.root.name / "cache"


def known_digests(cache: Path) -> Digests:
    """Open what a cache remembers of the dataset's files, so that they are hashed only where they change."""
    return Digests(cache / "sources.json")


def new_run_folder(dataset: Located) -> Path:
    """Give a run folder's name that does not exist yet: runs/DATASET/DATE-TIME."""
    stamp = datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
    folder = RUNS / dataset.root.name / stamp
    number = 2
    while folder.exists():
        folder = RUNS / dataset.root.name / f"{stamp}-{number}"
        number += 1
    return folder


def find_run(dataset: Located, explicit: Mapping[str, Any]) -> Path | None:
    """Give the newest run of this dataset that was asked for with the same settings, or None."""
    parent = RUNS / dataset.root.name
    if not parent.is_dir():
        return None
    for folder in sorted(parent.iterdir(), reverse=True):
        run = RunFolder(folder)
        if not run.record.is_file():
            continue
        record = run.read_record()
        if lasting(record.get("settings", {})) == lasting(explicit) and record.get("dataset") == str(
            dataset.root.resolve()
        ):
            return folder
    return None


def dataset_of(run: RunFolder, given: str | Path | None) -> Path:
    """Say which dataset a run goes on with.

    Args:
        run: with a record.
        given: where the dataset lies now; None: where it lay.

    Raises:
        RunError: the run does not say where, or it is not there any more.
    """
    recorded = run.read_record().get("dataset")
    if given is not None:
        return Path(given)
    if not isinstance(recorded, str):
        raise RunError(f"{run.record}: does not say which dataset was trained on. The file was edited or damaged.")
    if not os.path.exists(recorded):  # noqa: PTH110 - a place that may not be looked at is no dataset either
        raise RunError(f"{recorded}: the dataset of {run.path} is not there any more. Say where it is with --dataset.")
    return Path(recorded)


def other_content(plan: Path, recorded: object, dataset: Located) -> str:
    """Say that a plan is not of a dataset's content."""
    place = str(dataset.root.resolve())
    if recorded in (None, place):
        return f"{plan}: the dataset has changed since this plan was made. Start again with --fresh, or restore it."
    return (
        f"{plan}: this plan is of the dataset {recorded}, and {place} has another content. Choose another folder with "
        "--run, or start again with --fresh."
    )


def note_move(run: RunFolder, dataset: Located, observer: Observer) -> None:
    """Write down where the dataset of a run lies now; the caller has compared its content."""
    recorded, place = run.read_record().get("dataset"), str(dataset.root.resolve())
    if recorded != place:
        run.update_record(dataset=place)
        observer.note(f"the dataset was in {recorded} and is in {place} now, with the same content")


def choose_run(dataset: Located, run: Path | None, explicit: Mapping[str, Any], *, fresh: bool) -> RunFolder:
    """Decide which run folder a call works in.

    Without ``run`` the newest run with the same settings goes on; ``fresh`` begins another. A folder named by
    ``run`` goes on, too, wherever its dataset lies now: its plan knows the content (``content_key``). With ``fresh`` its
    old content is moved aside once the new plan stands.

    Raises:
        RunError: the named folder holds something else, or a run with other settings.
    """
    if run is None:
        found = None if fresh else find_run(dataset, explicit)
        return RunFolder(found or new_run_folder(dataset))
    folder = RunFolder(run)
    if run.is_file():
        raise RunError(f"{run}: this is a file; --run takes a folder.")
    if not run.exists() or {entry.name for entry in run.iterdir()} <= NOT_A_RUN:
        return folder
    if not folder.record.is_file():
        raise RunError(f"{run}: this folder is not empty and is no run folder. Choose another with --run.")
    if fresh:
        return folder
    record = folder.read_record()
    if record.get("status") == IMPORTED:
        raise RunError(f"{run}: this folder holds an imported model. Choose another with --run.")
    recorded = record.get("settings", {})
    differing = {name: value for name, value in lasting(explicit).items() if recorded.get(name) != value}
    if differing:
        said = ", ".join(f"{name}={value} (the run has {recorded.get(name)})" for name, value in differing.items())
        raise RunError(
            f"{run}: this run was begun with other settings: {said}. Edit {folder.plan} instead, choose another folder "
            "with --run, or start again with --fresh (the old run is moved aside, not deleted)."
        )
    return folder


def set_aside(run: RunFolder) -> Path | None:
    """Move an old run out of its folder, into a folder beside it; the cache and the lock stay.

    The caller holds the lock, so no process works in the run.

    Returns:
        Where the old run lies now; None when there was none.
    """
    if not run.record.is_file():
        return None
    aside = run.path.with_name(f"{run.path.name}-before-{datetime.now().astimezone().strftime('%Y-%m-%d-%H%M%S')}")
    aside.mkdir()
    for entry in run.path.iterdir():
        if entry.name not in NOT_A_RUN:
            entry.rename(aside / entry.name)
    return aside
