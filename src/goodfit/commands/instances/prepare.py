"""From a dataset of annotated frames to a plan in a run folder."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodfit import __version__
from goodfit.commands.instances.checking import checked, leaks
from goodfit.commands.instances.edits import measured_parts, refuse_other_data, remarks_on_edits, values_of
from goodfit.commands.instances.measure import measure_instance_plan
from goodfit.commands.places import CHANGEABLE, cache_folder, choose_run, known_digests, note_move, set_aside
from goodfit.commands.trained import edits_since, refuse_edits
from goodfit.data.instances.dataset import InstanceDataset, content_key, open_instances
from goodfit.data.instances.splits import load_instance_split, make_instance_split
from goodfit.data.splits import Split, save_split
from goodfit.errors import SplitError
from goodfit.files import write_json
from goodfit.interop.detectron2.config import translate_config
from goodfit.planning.instances.fingerprint import InstanceFingerprint, measure_instances
from goodfit.planning.instances.plan import InstancePlan, load_instance_plan, save_instance_plan
from goodfit.planning.instances.planner import make_instance_plan
from goodfit.planning.patience import patience_fields
from goodfit.planning.watched import instance_metrics, refuse_unknown_monitor
from goodfit.settings import Settings, build_settings
from goodfit.tasks.instances.losses import loss_parts
from goodfit.training.device import choose_device, choose_precision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.data.instances.checks import InstanceCheck
    from goodfit.interop.detectron2.config import Translation
    from goodfit.observer import Observer
    from goodfit.training.recipe import Recipe
    from goodfit.training.run_folder import RunFolder

KIND = "instances"
NO_WISHES = ("data.", "machine.", "prediction.", "training.hooks", "training.recipe", "training.initialise_from")
"""Settings that no field of the plan stands for."""
_OF_VOLUMES = ("prediction.tta", "prediction.step_size", "prediction.probabilities")


@dataclass(frozen=True)
class PreparedInstances:
    """A planned run on instances and what it rests on."""

    dataset: InstanceDataset
    settings: Settings
    run: RunFolder
    cache: Path
    plan: InstancePlan
    split: Split
    fingerprint: InstanceFingerprint


@dataclass(frozen=True)
class InstanceTarget:
    """What a call is about, before anything is written."""

    dataset: InstanceDataset
    explicit: dict[str, Any]
    settings: Settings
    run: RunFolder
    cache: Path
    fresh: bool
    split: Split | None = None
    """In place of a derived one."""
    plan: InstancePlan | None = None
    """In place of a derived and measured one, as for the folds of a cross-validation."""
    notes: Sequence[str] = ()
    """To be said when the run is begun."""


def said_of(translation: Translation, dataset: InstanceDataset) -> list[str]:
    """Say what became of each key of a Detectron2 config."""
    lines = [f"Detectron2 config: {key} = {value}: {place}" for key, value, place in translation.honoured]
    lines += [
        f"warning: Detectron2 config: {key} = {value} has no effect: {why}" for key, value, why in translation.ignored
    ]
    mismatch = translation.mismatch(dataset.categories)
    return [*lines, *([f"warning: {mismatch}"] if mismatch else [])]


def with_config(explicit: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Put what a Detectron2 config says among the settings, behind what the user asks for."""
    file = settings.data.detectron2_config
    return dict(explicit) if file is None else {**translate_config(Path(file)).settings, **explicit}


def aim_at_instances(
    dataset: str | Path,
    run: str | Path | None,
    *,
    fresh: bool,
    explicit: Mapping[str, Any],
    split: Split | None = None,
    plan: InstancePlan | None = None,
) -> InstanceTarget:
    """Open the dataset, validate the settings and choose the run folder.

    Raises:
        DatasetError, SettingsError, RunError: see their messages.
    """
    built = build_settings(dict(explicit))
    opened = open_instances(Path(dataset), group_by=built.data.group_by)
    notes: list[str] = []
    if built.data.detectron2_config is not None:
        translation = translate_config(Path(built.data.detectron2_config))
        notes = said_of(translation, opened)
        explicit = with_config(explicit, built)
        built = build_settings(dict(explicit))
    folder = choose_run(opened, None if run is None else Path(run), explicit, fresh=fresh)
    cache = cache_folder(opened, folder.path)
    return InstanceTarget(opened, dict(explicit), built, folder, cache, fresh, split, plan, notes)


def prepare_instances(target: InstanceTarget, observer: Observer) -> PreparedInstances:
    """Check, fingerprint, split and plan, each only where it is not there and valid already.

    The caller holds the locks of run and cache.

    Raises:
        DatasetError: the dataset has errors, or changed since the plan was made.
        PlanError, SplitError: plan.json or splits.json, as edited, cannot be used.
    """
    dataset, run = target.dataset, target.run
    result = checked(dataset, target.cache, observer, fresh=target.fresh)
    fingerprint = measure_instances(dataset, result.hashes, key=content_key(dataset, known_digests(target.cache)))
    if run.plan.is_file() and not target.fresh:
        return _recall(target, fingerprint, result, observer)
    return _begin(target, fingerprint, result, observer)


def with_measurement(
    prepared: PreparedInstances, recipe: Recipe, observer: Observer, started: float
) -> PreparedInstances:
    """Complete the plan with what depends on this machine, once, and again where the plan was edited since.

    The caller holds the locks of run and cache.

    Args:
        prepared: the planned run.
        recipe: of the training, with which steps are timed.
        observer: told about the progress.
        started: ``time.monotonic()`` at the start of the command, for the time budget.
    """
    run = prepared.run
    record = run.read_record()
    edited = record.get("planned") != measured_parts(prepared.plan)
    if record.get("status") == "finished" or (record.get("measured") and not edited):
        return prepared
    spent = float(record.get("spent_seconds", 0.0)) + time.monotonic() - started

    def replan(memory: float) -> InstancePlan:
        explicit = record.get("settings", {})
        dataset, fingerprint, split = prepared.dataset, prepared.fingerprint, prepared.split
        return new_plan(dataset, fingerprint, split, explicit, prepared.settings, memory=memory)

    plan = measure_instance_plan(prepared, recipe, observer, spent=spent, refit=not edited, replan=replan)
    save_instance_plan(plan, run.plan)
    before, now, derived = values_of(prepared.plan), values_of(plan), record.get("derived", {})
    changed = {name: value for name, value in now.items() if before.get(name) != value}
    run.update_record(measured=True, planned=measured_parts(plan), derived={**derived, **changed})
    return replace(prepared, plan=plan)


def _recall(
    target: InstanceTarget, fingerprint: InstanceFingerprint, result: InstanceCheck, observer: Observer
) -> PreparedInstances:
    """Take plan and split as they are in the run folder; the user may have edited both."""
    dataset, run = target.dataset, target.run
    record = run.read_record()
    changed = {name: value for name, value in target.explicit.items() if name.startswith(CHANGEABLE)}
    settings = build_settings({**record["settings"], **changed})
    plan = target.plan or load_instance_plan(run.plan)
    refuse_other_data(plan, dataset, fingerprint.key, run.plan, record.get("dataset"))
    note_move(run, dataset, observer)
    split = _load_or_make_split(target, settings, result)
    _require_known_monitor(plan, settings)
    observer.note(f"plan and split: as they are in {run.path}")
    if target.plan is not None:
        save_instance_plan(plan, run.plan)
        run.update_record(planned=measured_parts(plan), derived=values_of(plan))
    else:
        for line in remarks_on_edits(record.get("derived", {}), plan):
            observer.note(line)
    if record.get("status") == "finished":
        edits = edits_since(run, plan, split)
        if edits:
            observer.note(f"warning: {', '.join(edits)} edited after the training: without effect on this run")
    else:
        refuse_edits(run, plan, split)
    return PreparedInstances(dataset, settings, run, target.cache, plan, split, fingerprint)


def _begin(
    target: InstanceTarget, fingerprint: InstanceFingerprint, result: InstanceCheck, observer: Observer
) -> PreparedInstances:
    """Split, plan, and write both down."""
    dataset, run, settings = target.dataset, target.run, target.settings
    for line in [*target.notes, *ignored_settings(target.explicit), *(problem.sentence for problem in result.problems)]:
        observer.note(line)
    split = target.split or new_split(dataset, settings, result)
    for line in [*split.warnings, *leaks(result, split)]:
        observer.note(line)
    plan = target.plan or new_plan(dataset, fingerprint, split, target.explicit, settings)
    refuse_other_data(plan, dataset, fingerprint.key, run.plan)
    _require_known_monitor(plan, settings)
    if target.fresh:
        aside = set_aside(run)
        if aside is not None:
            observer.note(f"the old run is in {aside}")
    write_json(
        run.record,
        {
            "kind": KIND,
            "dataset": str(dataset.root.resolve()),
            "settings": target.explicit,
            "created": datetime.now().astimezone().isoformat(timespec="seconds"),
            "goodfit": __version__,
            "status": "planned",
            "spent_seconds": 0.0,
            "measured": target.plan is not None,
            "planned": measured_parts(plan),
            "derived": values_of(plan),
        },
    )
    save_split(split, run.splits)
    save_instance_plan(plan, run.plan)
    return PreparedInstances(dataset, settings, run, target.cache, plan, split, fingerprint)


def new_split(dataset: InstanceDataset, settings: Settings, result: InstanceCheck) -> Split:
    """Divide the frames into sets, or follow the sets that the dataset came with."""
    return make_instance_split(
        dataset, seed=settings.data.split_seed, fractions=settings.data.fractions, identical=result.identical
    )


def _load_or_make_split(target: InstanceTarget, settings: Settings, result: InstanceCheck) -> Split:
    """Read splits.json, which the user may have edited; make it anew where it was deleted."""
    run, dataset = target.run, target.dataset
    if run.splits.is_file():
        found = load_instance_split(run.splits, dataset)
        if target.split is not None and found.set_of() != target.split.set_of():
            raise SplitError(
                f"{run.splits}: holds other sets than this call asks for. Restore the file, or start again in another "
                "folder with --run."
            )
        return found
    split = target.split or new_split(dataset, settings, result)
    save_split(split, run.splits)
    return split


def ignored_settings(explicit: Mapping[str, Any]) -> list[str]:
    """Say which of the user's settings have no effect on instances."""
    return [
        f"warning: {name} has no effect: frames are predicted whole, once" for name in _OF_VOLUMES if name in explicit
    ]


def _require_known_monitor(plan: InstancePlan, settings: Settings) -> None:
    """Refuse to watch a column that nothing fills; hooks, and recipes that bring some, may fill any."""
    if not settings.training.hooks and not settings.training.recipe:
        masks = plan.model.masks
        metrics = instance_metrics(plan.data.categories, masks=masks)
        refuse_unknown_monitor(plan.training.monitor, metrics, loss_parts(masks=masks))


def new_plan(
    dataset: InstanceDataset,
    fingerprint: InstanceFingerprint,
    split: Split,
    explicit: Mapping[str, Any],
    settings: Settings,
    *,
    memory: float | None = None,
) -> InstancePlan:
    """Derive a plan, with what the user asks for in its place; ``memory`` stands for what the user says of it.

    Raises:
        PlanError: a wish cannot be.
    """
    wishes = {name: value for name, value in explicit.items() if not name.startswith(NO_WISHES)}
    if "training.patience" in wishes:
        given = patience_fields(wishes.pop("training.patience"))
        wishes = {f"training.{name}": value for name, value in given.items()} | wishes
    device = choose_device(settings.machine.device)
    plan = make_instance_plan(
        dataset,
        fingerprint,
        split,
        memory=wishes.get("plan.memory") if memory is None else memory,
        wishes=wishes,
        device="cuda" if device.type == "cuda" else "cpu",
    )
    if "training.precision" in wishes:
        return plan
    precision, reason = choose_precision(device)
    reasons = {**plan.training.reasons, "precision": reason}
    return plan.model_copy(
        update={"training": plan.training.model_copy(update={"precision": precision, "reasons": reasons})}
    )
