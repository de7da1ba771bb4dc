"""From dataset and machine to a plan in a run folder."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodfit import __version__
from goodfit.commands.inspect import inspect
from goodfit.commands.places import (
    CHANGEABLE,
    cache_folder,
    choose_run,
    known_digests,
    note_move,
    other_content,
    set_aside,
)
from goodfit.commands.trained import edits_since, refuse_edits
from goodfit.data.dataset import Dataset, content_key, open_dataset
from goodfit.data.folds import FOLDS, all_split, find_splits, fold_split, load_folds, make_folds
from goodfit.data.instances.dataset import is_instance_dataset
from goodfit.data.splits import Split, load_split, make_split, save_split
from goodfit.data.wording import counted
from goodfit.errors import DatasetError, PlanError, SplitError
from goodfit.files import write_json
from goodfit.interop.nnunet.given import given_plan, has_given_plan
from goodfit.observer import Observer
from goodfit.planning.plan import Plan, load_plan, save_plan
from goodfit.planning.planner import make_plan
from goodfit.planning.watched import refuse_unknown_monitor, segmentation_metrics
from goodfit.planning.wishes import apply_wishes
from goodfit.settings import Settings, build_settings, explicit_settings
from goodfit.training.run_folder import RunFolder, locked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goodfit.commands.instances.prepare import PreparedInstances
    from goodfit.data.checks import CheckResult
    from goodfit.planning.fingerprint import Fingerprint

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A planned run and what it rests on."""

    dataset: Dataset
    settings: Settings
    run: RunFolder
    cache: Path
    plan: Plan
    split: Split


@dataclass(frozen=True)
class Target:
    """What a call is about, before anything is read or written: the dataset, the wishes and the run folder.

    ``split`` and ``plan`` are None unless the caller made them: they then take the place of those derived here.
    """

    dataset: Dataset
    explicit: dict[str, Any]
    settings: Settings
    run: RunFolder
    cache: Path
    fresh: bool
    split: Split | None = None
    plan: Plan | None = None


def aim(
    dataset: str | Path,
    run: str | Path | None,
    *,
    fresh: bool,
    settings: Mapping[str, Any] | None,
    split: Split | None = None,
    plan: Plan | None = None,
    **options: Any,
) -> Target:
    """Open the dataset, validate the settings and choose the run folder.

    A split or a plan that is handed in (as for the folds of a cross-validation) is used in place of a derived one.

    Raises:
        DatasetError: the folder is no dataset.
        SettingsError: a setting is unknown or impossible.
        RunError: the run folder belongs to something else.
    """
    explicit = explicit_settings(settings, options)
    built = build_settings(explicit)
    opened = open_dataset(Path(dataset), group_by=built.data.group_by)
    folder = choose_run(opened, None if run is None else Path(run), explicit, fresh=fresh)
    cache = cache_folder(opened, folder.path)
    return Target(opened, explicit, built, folder, cache, fresh, split, plan)


def refuse_broken(dataset: Dataset, result: CheckResult) -> None:
    """Stop at a dataset with errors.

    Raises:
        DatasetError: says how many problems there are, shows the first and names the command that lists them all.
    """
    errors = [problem for problem in result.problems if problem.severity == "error"]
    if not errors:
        return
    first = "\n".join(f"  {error.sentence}" for error in errors[:5])
    more = f"\n  ... and {len(errors) - 5} more" if len(errors) > 5 else ""
    raise DatasetError(
        f"{dataset.root}: {counted(len(errors), 'problem')} to be mended first (`goodfit check {dataset.root}` lists all):\n"
        f"{first}{more}"
    )


def prepare(target: Target, observer: Observer, *, measure: bool, started: float) -> Prepared:
    """Check, fingerprint, split and plan, each only where it is not there and valid already.

    The caller holds the lock of the run folder.

    Args:
        target: what the call is about.
        observer: told about the progress.
        measure: time real training steps and predict the memory; needs torch and some seconds.
        started: ``time.monotonic()`` at the start of the command, for the time budget.

    Raises:
        DatasetError: the dataset has errors, or changed since the plan was made.
        PlanError, SplitError: plan.json or splits.json, as edited, cannot be used.
    """
    dataset, run, settings = target.dataset, target.run, target.settings
    if run.plan.is_file() and not target.fresh:
        changed = {name: value for name, value in target.explicit.items() if name.startswith(CHANGEABLE)}
        recorded = build_settings({**run.read_record()["settings"], **changed})
        plan = target.plan or load_plan(run.plan)
        _require_same_dataset(plan, target)
        note_move(run, dataset, observer)
        split = _load_or_make_split(target, recorded, observer)
        _require_known_monitor(plan, recorded)
        observer.note(f"plan and split: as they are in {run.path}")
        prepared = Prepared(dataset, recorded, run, target.cache, plan, split)
        if run.read_record().get("status") == "finished":
            edits = edits_since(run, plan, split)
            if edits:
                observer.note(f"warning: {', '.join(edits)} edited after the training: without effect on this run")
            return prepared
        refuse_edits(run, plan, split)
        record = run.read_record()
        edited = record.get("planned") != measured_parts(plan)
        if target.plan is not None:
            save_plan(plan, run.plan)
            run.update_record(planned=measured_parts(plan))
            return prepared
        if not measure or (record.get("measured") and not edited):
            return prepared
        plan = _measured(prepared, observer, started, refit=not edited)
        save_plan(plan, run.plan)
        run.update_record(measured=True, planned=measured_parts(plan))
        return Prepared(dataset, recorded, run, target.cache, plan, split)
    result, fingerprint = inspect(dataset, target.cache, observer, fresh=target.fresh)
    refuse_broken(dataset, result)
    split = target.split or _new_split(dataset, settings, result)
    for problem in result.problems:
        observer.note(problem.sentence)
    for warning in split.warnings:
        observer.note(warning)
    if settings.data.fold is not None or dataset.layout == "preprocessed":
        observer.note(f"split: {split.source}; test: {split.reasons.get('test', 'none')}")
    plan = target.plan or base_plan(dataset, fingerprint, settings)
    _require_same_dataset(plan, target)
    _require_known_monitor(plan, settings)
    prepared = Prepared(dataset, settings, run, target.cache, plan, split)
    if measure and target.plan is None:
        plan = _measured(prepared, observer, started, refit=True)
    if target.fresh:
        aside = set_aside(run)
        if aside is not None:
            observer.note(f"the old run is in {aside}")
    write_json(
        run.record,
        {
            "dataset": str(dataset.root.resolve()),
            "settings": target.explicit,
            "created": datetime.now().astimezone().isoformat(timespec="seconds"),
            "goodfit": __version__,
            "status": "planned",
            "spent_seconds": 0.0,
            "measured": measure,
            "planned": measured_parts(plan),
        },
    )
    save_split(split, run.splits)
    save_plan(plan, run.plan)
    return Prepared(dataset, settings, run, target.cache, plan, split)


def _require_same_dataset(plan: Plan, target: Target) -> None:
    with known_digests(target.cache) as digests:
        key = content_key(target.dataset, digests)
    if plan.data.key != key:
        recorded = target.run.read_record().get("dataset") if target.run.record.is_file() else None
        raise PlanError(other_content(target.run.plan, recorded, target.dataset))


def _require_known_monitor(plan: Plan, settings: Settings) -> None:
    """Refuse to watch a column that nothing fills; hooks, and recipes that bring some, may fill any."""
    if not settings.training.hooks and not settings.training.recipe:
        refuse_unknown_monitor(plan.training.monitor, segmentation_metrics(plan.data.labels))


def _new_split(dataset: Dataset, settings: Settings, result: CheckResult) -> Split:
    fold, seed = settings.data.fold, settings.data.split_seed
    if fold == "all":
        return all_split(dataset, seed=seed)
    found = find_splits(dataset)
    enough = len({case.group for case in dataset.cases}) >= FOLDS
    if fold is not None or (dataset.layout == "preprocessed" and (found is not None or enough)):
        return fold_split(
            make_folds(dataset) if found is None else load_folds(found, dataset),
            fold or 0,
            dataset,
            seed=seed,
            class_presence=result.voxels,
            identical=result.identical,
        )
    return make_split(
        dataset,
        seed=seed,
        fractions=settings.data.fractions,
        class_presence=result.voxels,
        identical=result.identical,
    )


def _load_or_make_split(target: Target, settings: Settings, observer: Observer) -> Split:
    """Read splits.json, which the user may have edited; make it anew where it was deleted."""
    if target.run.splits.is_file():
        found = load_split(target.run.splits, target.dataset)
        if target.split is not None and found.set_of() != target.split.set_of():
            raise SplitError(
                f"{target.run.splits}: holds other sets than this call asks for. Restore the file, or start again in "
                "another folder with --run."
            )
        return found
    if target.split is not None:
        save_split(target.split, target.run.splits)
        return target.split
    result, _ = inspect(target.dataset, target.cache, observer)
    refuse_broken(target.dataset, result)
    split = _new_split(target.dataset, settings, result)
    save_split(split, target.run.splits)
    return split


def base_plan(dataset: Dataset, fingerprint: Fingerprint | None, settings: Settings) -> Plan:
    """Derive a plan from data and wishes, or take nnU-Net's where one is given, without measuring this machine."""
    wishes = settings.plan
    if has_given_plan(dataset, settings):
        key = None if fingerprint is None else fingerprint.key
        plan = apply_wishes(given_plan(dataset, settings, key), settings, len(dataset.cases))
        _require_known_monitor(plan, settings)
        return plan
    assert fingerprint is not None, "a dataset without errors has a fingerprint"
    plan = make_plan(
        dataset,
        fingerprint,
        memory=wishes.memory,
        configuration=wishes.configuration,
        planner=wishes.planner,
        preset=wishes.network,
        spacing=wishes.spacing,
    )
    plan = apply_wishes(plan, settings, len(fingerprint.cases))
    _require_known_monitor(plan, settings)
    return plan


def measured_parts(plan: Plan) -> str:
    """Digest of what memory and step time depend on; another digest means that the plan was edited since."""
    parts = {
        "configuration": plan.chosen.model_dump(mode="json", exclude={"reasons": True, "network": {"reasons"}}),
        "training": plan.training.model_dump(mode="json", include={"optimizer", "precision", "ema"}),
        "budget": plan.budget.model_dump(mode="json", exclude={"reasons"}),
    }
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()


def _measured(prepared: Prepared, observer: Observer, started: float, *, refit: bool) -> Plan:
    # torch is imported only where something is measured: `check` and `preprocess` start without it.
    from goodfit.commands.measure import measure_plan

    spent = time.monotonic() - started
    cases = len(prepared.dataset.cases)
    return measure_plan(
        prepared.plan, prepared.settings, spent, observer, refit=refit, cases=cases, cache=prepared.cache
    )


def plan(
    dataset: str | Path,
    *,
    run: str | Path | None = None,
    fresh: bool = False,
    settings: Mapping[str, Any] | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> Prepared | PreparedInstances:
    """Plan a training: write plan.json and splits.json into a run folder.

    Args:
        dataset: the dataset's folder.
        run: the run folder; default runs/DATASET/DATE-TIME, or the newest one with these settings.
        fresh: plan again in a new folder.
        settings: ``{"section.field": value}``.
        observer: told about the progress.
        **options: shortcuts such as ``time="10m"``, ``batch_size=4``, ``configuration="2d"``.

    Raises:
        DatasetError, SettingsError, PlanError, SplitError, RunError: see their messages.
    """
    started = time.monotonic()
    observer = observer or Observer()
    if is_instance_dataset(Path(dataset)):
        # Imported here: a segmentation needs nothing of it, and torchvision takes a while.
        from goodfit.commands.instances.plan import plan_instances

        return plan_instances(dataset, run=run, fresh=fresh, settings=settings, options=options, observer=observer)
    target = aim(dataset, run, fresh=fresh, settings=settings, **options)
    with locked(target.run.path, "run"), locked(target.cache, "dataset's cache"):
        return prepare(target, observer, measure=True, started=started)
