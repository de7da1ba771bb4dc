"""From a dataset of annotated frames to a plan in a run folder."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodfit import __version__
from goodfit.commands.places import CHANGEABLE, cache_folder, choose_run, set_aside
from goodfit.commands.plan import sentence
from goodfit.commands.trained import edits_since, refuse_edits
from goodfit.data.instances.checks import InstanceCheck, check_key, check_opened
from goodfit.data.instances.dataset import InstanceDataset, content_key, open_instances
from goodfit.data.instances.leakage import near_duplicates
from goodfit.data.instances.splits import load_instance_split, make_instance_split
from goodfit.data.splits import Split, save_split
from goodfit.data.wording import counted
from goodfit.errors import DatasetError, PlanError
from goodfit.files import read_json, write_json
from goodfit.interop.detectron2.config import translate_config
from goodfit.planning.instances.fingerprint import InstanceFingerprint, measure_instances
from goodfit.planning.instances.plan import InstancePlan, load_instance_plan, save_instance_plan
from goodfit.planning.instances.planner import make_instance_plan
from goodfit.planning.watched import instance_metrics, refuse_unknown_monitor
from goodfit.settings import Settings, build_settings
from goodfit.tasks.instances.losses import loss_parts
from goodfit.training.device import choose_device, choose_precision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.interop.detectron2.config import Translation
    from goodfit.observer import Observer
    from goodfit.training.run_folder import RunFolder

KIND = "instances"
NO_WISHES = ("data.", "machine.", "prediction.", "training.hooks", "training.recipe")
"""Settings that no field of the plan stands for."""


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


def aim_at_instances(
    dataset: str | Path,
    run: str | Path | None,
    *,
    fresh: bool,
    explicit: Mapping[str, Any],
    split: Split | None = None,
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
        explicit = {**translation.settings, **explicit}
        built = build_settings(dict(explicit))
    folder = choose_run(opened, None if run is None else Path(run), explicit, fresh=fresh)
    return InstanceTarget(opened, dict(explicit), built, folder, cache_folder(opened, folder.path), fresh, split, notes)


def prepare_instances(target: InstanceTarget, observer: Observer) -> PreparedInstances:
    """Check, fingerprint, split and plan, each only where it is not there and valid already.

    Raises:
        DatasetError: the dataset has errors, or changed since the plan was made.
        PlanError, SplitError: plan.json or splits.json, as edited, cannot be used.
    """
    dataset, run = target.dataset, target.run
    result = checked(dataset, target.cache, observer, fresh=target.fresh)
    fingerprint = measure_instances(dataset, result.hashes, key=content_key(dataset))
    if run.plan.is_file() and not target.fresh:
        changed = {name: value for name, value in target.explicit.items() if name.startswith(CHANGEABLE)}
        settings = build_settings({**run.read_record()["settings"], **changed})
        plan, split = load_instance_plan(run.plan), load_instance_split(run.splits, dataset)
        if plan.data.key != fingerprint.key:
            raise PlanError(
                f"{run.plan}: the dataset has changed since this plan was made. Start again with --fresh, or restore it."
            )
        _require_known_monitor(plan, settings)
        observer.note(f"plan and split: as they are in {run.path}")
        if run.read_record().get("status") == "finished":
            edits = edits_since(run, plan, split)
            if edits:
                observer.note(f"warning: {', '.join(edits)} edited after the training: without effect on this run")
        else:
            refuse_edits(run, plan, split)
        return PreparedInstances(dataset, settings, run, target.cache, plan, split, fingerprint)
    for line in [*target.notes, *map(sentence, result.problems)]:
        observer.note(line)
    split = target.split or make_instance_split(
        dataset,
        seed=target.settings.data.split_seed,
        fractions=target.settings.data.fractions,
        identical=result.identical,
    )
    for line in [*split.warnings, *leaks(result, split)]:
        observer.note(line)
    plan = new_plan(target, fingerprint, split)
    _require_known_monitor(plan, target.settings)
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
            "measured": False,
        },
    )
    save_split(split, run.splits)
    save_instance_plan(plan, run.plan)
    return PreparedInstances(dataset, target.settings, run, target.cache, plan, split, fingerprint)


def _require_known_monitor(plan: InstancePlan, settings: Settings) -> None:
    """Refuse to watch a column that nothing fills; hooks, and recipes that bring some, may fill any."""
    if not settings.training.hooks and not settings.training.recipe:
        masks = plan.model.masks
        metrics = instance_metrics(plan.data.categories, masks=masks)
        refuse_unknown_monitor(plan.training.monitor, metrics, loss_parts(masks=masks))


def checked(dataset: InstanceDataset, cache: Path, observer: Observer, *, fresh: bool) -> InstanceCheck:
    """Check a dataset, or recall the result of an earlier call while nothing has changed.

    Raises:
        DatasetError: there are errors; shows the first and names the command that lists them all.
    """
    file = cache / "check.json"
    result = None
    if file.is_file() and not fresh:
        recalled = InstanceCheck.from_dict(read_json(file, DatasetError))
        if recalled.key == check_key(dataset):
            observer.note(f"check of {counted(len(dataset.frames), 'frame')}: as before, the dataset has not changed")
            result = recalled
    if result is None:
        observer.stage("check")
        result = check_opened(dataset, on_progress=observer.advance)
        if result.ok:
            write_json(file, result.to_dict())
    if result.errors:
        first = "\n".join(f"  {sentence(error)}" for error in result.errors[:5])
        more = f"\n  ... and {len(result.errors) - 5} more" if len(result.errors) > 5 else ""
        raise DatasetError(
            f"{dataset.root}: {counted(len(result.errors), 'problem')} to be mended first (`goodfit check {dataset.root}` "
            f"lists all):\n{first}{more}"
        )
    return result


def leaks(result: InstanceCheck, split: Split) -> list[str]:
    """Say which frames of validation and test look like a training frame."""
    return [
        f"warning: {leak.frame} ({leak.set}) looks like the training frame {leak.training} ({leak.distance} of 64 bits "
        "differ): its score says little about new videos. Put both into one group."
        for leak in near_duplicates(result.hashes, split)
    ]


def new_plan(target: InstanceTarget, fingerprint: InstanceFingerprint, split: Split) -> InstancePlan:
    """Derive a plan, with what the user asks for in its place.

    Raises:
        PlanError: a wish cannot be.
    """
    wishes = {name: value for name, value in target.explicit.items() if not name.startswith(NO_WISHES)}
    if wishes.get("training.patience") == 0:
        wishes["training.patience"] = None
    device = choose_device(target.settings.machine.device)
    plan = make_instance_plan(
        target.dataset,
        fingerprint,
        split,
        memory=wishes.get("plan.memory"),
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
