"""Training longer: a new run that goes on from the state before the cooldown of a finished one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from goodfit.commands.cascade import share_previous_stage
from goodfit.commands.places import dataset_of, lasting
from goodfit.commands.plan import measured_parts
from goodfit.commands.train import train
from goodfit.commands.trained import identity_of, remember, trained_instance_plan, trained_plan
from goodfit.data.splits import Split
from goodfit.errors import RunError, SettingsError
from goodfit.files import read_json, write_json, write_text
from goodfit.planning.patience import patience_fields
from goodfit.planning.plan import Plan
from goodfit.settings import explicit_settings
from goodfit.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from goodfit.training.metrics_log import MetricsLog
from goodfit.training.progress import Progress
from goodfit.training.run_folder import RunFolder, locked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goodfit.commands.fitting import TrainResult
    from goodfit.observer import Observer
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.training.hooks import Hook
    from goodfit.training.recipe import Recipe

BY_EXTENSION = "asked for by `goodfit extend`"


def extend(
    run: str | Path,
    *,
    epochs: int | None = None,
    time: str | float | None = None,
    patience: int | str | None = None,
    to: str | Path | None = None,
    dataset: str | Path | None = None,
    hooks: Sequence[Hook] = (),
    recipe: type[Recipe] | str | None = None,
    observer: Observer | None = None,
) -> TrainResult:
    """Train a finished run longer, in a folder of its own; the finished run stays as it is.

    Patience starts to count anew. What the finished run learnt in its cooldown has no part in the longer one.

    Args:
        run: the finished (or cooling) run.
        epochs: largest number of epochs in all, those before the cooldown included.
        time: for the extension; in place of ``epochs`` or beside it.
        patience: in place of the run's.
        to: folder of the extension; default RUN-extended.
        dataset: where it lies now, if it (or the run) has moved; its content must be the same.
        hooks: the objects it was begun with, where they cannot be imported by name.
        recipe: the class it was begun with, likewise.
        observer: told about the progress.

    Raises:
        RunError: there is no state before a cooldown, or the new folder is not empty.
        SettingsError: the number of epochs is not above what the run has done.
    """
    source = RunFolder(Path(run))
    record = source.require_trained_here()
    target = RunFolder(Path(to) if to is not None else _free_name(source.path))
    wishes = explicit_settings(None, {"epochs": epochs, "time": time, "patience": patience})
    if "budget.epochs" not in wishes and "budget.time" not in wishes:
        raise SettingsError("extend: say how much longer, with --epochs or --time.")
    if target.path.exists() and any(target.path.iterdir()):
        raise RunError(f"{target.path}: this folder is not empty. Choose another with --to.")
    place = dataset_of(source, dataset)
    state = _state_before_cooldown(source)
    plan = _longer(source, state, wishes)
    settings = {**{name: value for name, value in record["settings"].items() if name != "budget.time"}, **wishes}
    with locked(target.path, "run"):
        write_text(target.plan, plan.model_dump_json(indent=2) + "\n")
        shutil.copyfile(source.splits, target.splits)
        write_json(
            target.record,
            {
                **record,
                "settings": settings,
                "created": datetime.now().astimezone().isoformat(timespec="seconds"),
                "extends": str(source.path.resolve()),
                "status": "interrupted",
                "spent_seconds": 0.0,
                "measured": True,
                **({"planned": measured_parts(plan)} if isinstance(plan, Plan) else {}),
            },
        )
        share_previous_stage(source, target)
        remember(target, plan, Split.model_validate(read_json(source.splits, RunError)))
        _copy_curves(source, target, state)
        progress = Progress.from_dict(dict(state.state["progress"]))
        progress.control = replace(progress.control, best_epoch=progress.control.observed_epoch)
        if not _copy_best(source, target, state):
            progress.best_metric = None
        content = {**state.state, "identity": identity_of(target), "progress": progress.to_dict()}
        save_checkpoint(target.last, Checkpoint(state.groups, content))
    return train(place, run=target.path, settings=lasting(settings), hooks=hooks, recipe=recipe, observer=observer)


def _free_name(path: Path) -> Path:
    candidate, number = path.with_name(f"{path.name}-extended"), 2
    while candidate.exists():
        candidate = path.with_name(f"{path.name}-extended-{number}")
        number += 1
    return candidate


def _state_before_cooldown(source: RunFolder) -> Checkpoint:
    if not source.stable.is_file():
        raise RunError(f"{source.path}: this run has not begun its cooldown. `goodfit resume` goes on with it.")
    return load_checkpoint(source.stable)


def _longer(source: RunFolder, state: Checkpoint, wishes: dict[str, object]) -> Plan | InstancePlan:
    """Give the run's plan with the new budget."""
    of_instances = source.read_record().get("kind") == "instances"
    plan = trained_instance_plan(source) if of_instances else trained_plan(source)
    assert plan is not None, "a run with checkpoints knows what it was trained with"
    done = int(state.state["progress"]["control"]["epoch"])
    budget = plan.budget.model_dump()
    training = plan.training.model_dump()
    asked = wishes.get("budget.epochs")
    if isinstance(asked, int) and asked <= done:
        raise SettingsError(
            f"extend: {source.path} has done {done} epochs before its cooldown; --epochs is the number in all and must be "
            "larger."
        )
    if training["schedule"] == "poly" and (asked or plan.budget.epochs) != plan.budget.epochs:
        raise RunError(
            f"{source.path}: the polynomial schedule falls towards the end of {plan.budget.epochs} epochs from the first step "
            "on, so only --epochs with this number continues it. Train anew with more epochs, or with --schedule wsd."
        )
    if asked is None:
        asked = plan.budget.epochs if training["schedule"] == "poly" else max(1000, 10 * done)
    budget |= {"epochs": asked, "time": wishes.get("budget.time"), "expected_steps": None}
    budget["reasons"] |= dict.fromkeys(("epochs", "time"), BY_EXTENSION)
    if "training.patience" in wishes:
        given = wishes["training.patience"]
        assert isinstance(given, int)
        training |= patience_fields(given)
        training["reasons"] |= dict.fromkeys(("patience", "patience_share"), BY_EXTENSION)
    return type(plan).model_validate({**plan.model_dump(), "budget": budget, "training": training})


def _copy_best(source: RunFolder, target: RunFolder, state: Checkpoint) -> bool:
    """Copy the best checkpoint unless it comes from the cooldown, which the longer run has not seen."""
    if not source.best.is_file():
        return False
    step = load_checkpoint(source.best).state["step"]
    if step > state.state["progress"]["control"]["step"]:
        return False
    target.best.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source.best, target.best)
    return True


def _copy_curves(source: RunFolder, target: RunFolder, state: Checkpoint) -> None:
    """Copy the rows and events up to the state."""
    step = int(state.state["progress"]["row_step"])
    if source.metrics.is_file():
        shutil.copyfile(source.metrics, target.metrics)
        MetricsLog(target.metrics, (), step).write()
    write_json(target.events, source.read_events()[: state.state["progress"]["events"]])
