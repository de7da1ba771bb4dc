"""The folds of a cross-validation, several at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from goodfit.commands.fold_process import FoldJob, train_in_processes
from goodfit.commands.side_by_side import Slots, choose_slots, look_at_machine
from goodfit.errors import RunError, SettingsError
from goodfit.training.device import choose_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from goodfit.commands.cross.folder import CrossFolder
    from goodfit.commands.cross.kind import Subject
    from goodfit.data.splits import Split
    from goodfit.observer import Observer
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.planning.plan import Plan
    from goodfit.training.recipe import Recipe


def slots_for(
    asked: int | str,
    folds: int,
    plan: Plan | InstancePlan,
    device: str | None,
    recipe: type[Recipe] | str | None,
    observer: Observer,
) -> Slots | None:
    """Decide how many folds train at once, and say so; None for one after the other.

    Args:
        asked: a number, or "auto".
        folds: that are to be trained.
        plan: of all folds.
        device: that the user named, if any: then no other GPU is used.
        recipe: of the training.
        observer: is told the number and its reason.

    Raises:
        SettingsError: ``asked`` is neither, or the recipe's class cannot be reached from another process.
    """
    if asked == 1 or folds < 1:
        return None
    machine = look_at_machine(choose_device(device), every_gpu=device is None)
    slots = choose_slots(asked, folds, plan.predicted_memory or plan.memory or 0.0, machine)
    observer.note(slots.reason)
    if slots.count == 1:
        return None
    if isinstance(recipe, type) and recipe.__module__ == "__main__":
        raise SettingsError(
            f"recipe {recipe.__name__}: is defined in the script itself, which other processes do not run. Put it into a "
            "module that can be imported, or train one fold at a time (parallel=1)."
        )
    return slots


def fold_job(
    subject: Subject,
    folder: CrossFolder,
    name: str,
    settings: dict[str, Any],
    plan: Plan | InstancePlan,
    split: Split,
) -> FoldJob:
    """Describe the training of a fold for another process."""
    spec = {
        "dataset": str(subject.dataset.root.resolve()),
        "run": str(folder.fold(name).path.resolve()),
        "settings": settings,
        "recipe": settings.get("training.recipe"),
        "plan": plan.model_dump(mode="json"),
        "split": split.model_dump(mode="json"),
    }
    return FoldJob(name, folder.path / f"fold_{name}.log", spec)


def train_side_by_side(
    jobs: Sequence[FoldJob], slots: Slots, observer: Observer, on_end: Callable[[str], None]
) -> bool:
    """Train the folds; give False when a signal asked to leave.

    Raises:
        RunError: some folds failed; all are named with their errors, and the others are trained and kept.
    """
    observer.stage(f"train {len(jobs)} folds")
    outcomes, interrupted = train_in_processes(jobs, slots, observer, on_end)
    failed = {name: outcome.error for name, outcome in outcomes.items() if outcome.error is not None}
    if failed:
        lines = [f"  fold {name}: {error}" for name, error in failed.items()]
        raise RunError(
            f"{len(failed)} of {len(jobs)} folds failed; the others are kept, and the same command goes on with these.\n"
            + "\n".join(lines)
        )
    return not interrupted and all(outcome.finished for outcome in outcomes.values()) and len(outcomes) == len(jobs)
