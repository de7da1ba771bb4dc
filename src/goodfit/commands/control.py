"""Ending a training that runs elsewhere, and going on with one that was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from goodfit.commands.places import dataset_of, lasting
from goodfit.commands.train import train
from goodfit.errors import RunError
from goodfit.training.requests import ask_to_stop
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goodfit.commands.fitting import TrainResult
    from goodfit.observer import Observer
    from goodfit.training.hooks import Hook
    from goodfit.training.recipe import Recipe


def stop(run: str | Path, *, now: bool = False) -> None:
    """Ask the process that trains a run, here or on another machine, to end.

    Args:
        run: the run folder.
        now: save and leave at once, to be continued; otherwise the cooldown begins, and the run ends scored.

    Raises:
        RunError: the folder is no run, or nobody is training in it.
    """
    folder = RunFolder(Path(run))
    status = folder.read_record().get("status")
    if status != "training" or not in_use(folder.path):
        raise RunError(
            f"{folder.path}: nobody is training here (status: {status}). `goodfit resume` goes on with an interrupted run."
        )
    ask_to_stop(folder.stop, now=now)


def in_use(folder: Path) -> bool:
    """Tell whether a process holds the lock of a run folder."""
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    lock.release()
    return False


def resume(
    run: str | Path,
    *,
    dataset: str | Path | None = None,
    hooks: Sequence[Hook] = (),
    recipe: type[Recipe] | str | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> TrainResult:
    """Go on with a run where it was interrupted; its dataset and settings are in its folder.

    Args:
        run: the run folder.
        dataset: where it lies now, if it (or the run) has moved; its content must be the same.
        hooks: the objects it was begun with, where they cannot be imported by name.
        recipe: the class it was begun with, likewise.
        observer: told about the progress.
        **options: of the machine and the prediction, such as ``workers=2``; what is trained cannot change.

    Raises:
        RunError: the folder is no run, its checkpoints are damaged, or an option would change what is trained.
    """
    folder = RunFolder(Path(run))
    record = folder.require_trained_here()
    place = dataset_of(folder, dataset)
    settings = lasting(record.get("settings", {}))
    return train(place, run=folder.path, settings=settings, hooks=hooks, recipe=recipe, observer=observer, **options)
