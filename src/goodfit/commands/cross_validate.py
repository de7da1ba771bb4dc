"""Every case predicted by a model that has not seen it: one training per fold, all with the same plan."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodfit import __version__
from goodfit.commands.cross.folder import ALL, CrossFolder, CrossRecord, choose_folder, set_cross_aside
from goodfit.commands.cross.kind import CrossKind, Inspected, Subject
from goodfit.commands.cross.parallel import fold_job, slots_for, train_side_by_side
from goodfit.commands.cross.probabilities import add_probabilities
from goodfit.commands.cross.segmentation import SegmentationFolds
from goodfit.commands.cross.setup import CrossValidation, Setup, gather_result, write_record
from goodfit.commands.extensions import with_extensions
from goodfit.commands.places import CHANGEABLE, cache_folder, known_digests, note_move, other_content
from goodfit.commands.train import train
from goodfit.commands.trained import edits_since
from goodfit.data.folds import Folds, load_folds, save_folds
from goodfit.data.instances.dataset import is_instance_dataset
from goodfit.data.wording import counted
from goodfit.errors import PlanError, RunError, SettingsError
from goodfit.observer import Observer
from goodfit.planning.arithmetic import describe_seconds
from goodfit.settings import build_settings
from goodfit.training.run_folder import RunFolder, locked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.commands.fold_process import FoldJob
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.planning.plan import Plan
    from goodfit.training.recipe import Recipe


def cross_validate(
    dataset: str | Path,
    *,
    run: str | Path | None = None,
    fresh: bool = False,
    folds: Sequence[int | str] | None = None,
    splits: str | Path | Folds | None = None,
    stop_on_fold: bool = False,
    parallel: int | str = 1,
    settings: Mapping[str, Any] | None = None,
    recipe: type[Recipe] | str | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> CrossValidation:
    """Train a model for each fold, score it on that fold, and put the scores together.

    The folds are nnU-Net's for the same case names (see ``goodfit.data.folds``), those of a splits_final.json in the
    dataset's folder or in nnU-Net's folder of preprocessed data beside it, or those of ``splits``. Frames with
    instances are divided by video or other group. A fold is scored
    once, at the end; a stopping set taken from its training part decides when to stop. All folds share plan and
    preprocessed data. Interrupted, the next call goes on in the fold that was running.

    Args:
        dataset: folder in nnU-Net's raw layout, with ``images/`` and ``labels/``, or with COCO annotations.
        run: the folder; default runs/DATASET/cv-DATE-TIME, or the newest one that was asked for alike.
        fresh: start again.
        folds: numbers of the folds to train now; "all" trains on every case, without a score. Default: all numbers.
        splits: a file in the format of nnU-Net's splits_final.json, or folds that are made already.
        stop_on_fold: let each fold decide itself when to stop; its scores are marked as optimistic.
        parallel: folds that train at the same time, each in a process of its own: a number, or "auto" for as many as
            memory, GPUs and cores allow.
        settings: ``{"section.field": value}``, see ``goodfit.settings``.
        recipe: a subclass of ``goodfit.Recipe``, as for ``train``.
        observer: told about the progress.
        **options: shortcuts as for ``train``. ``time`` is for all folds together: each gets its part of what is left.

    Raises:
        GoodfitError: whatever a user can mend; the message names the thing and the way out.
    """
    started = time.monotonic()
    observer = observer or Observer()
    explicit = with_extensions(settings, options, (), recipe)
    kind = _kind_of(Path(dataset))
    opened = kind.open(Path(dataset), build_settings(explicit).data.group_by)
    given = load_folds(Path(splits), opened) if isinstance(splits, str | Path) else splits
    folder = choose_folder(
        opened, None if run is None else Path(run), explicit, stop_on_fold=stop_on_fold, given=given, fresh=fresh
    )
    with locked(folder.path, "cross-validation"):
        if folder.record.is_file() and not fresh:
            setup = _recall(kind, opened, explicit, folder, folds, observer)
        else:
            subject = _subject(opened, explicit, folder)
            setup = _begin(kind, subject, folder, given, folds, observer, stop_on_fold=stop_on_fold, fresh=fresh)
        finished = _train_folds(setup, _names(folds, setup.folds), recipe, observer, started, parallel)
        observer.stage("report")
        return gather_result(setup, finished=finished)


def _kind_of(dataset: Path) -> CrossKind[Any, Any, Any]:
    if is_instance_dataset(dataset):
        # Imported here: a segmentation needs nothing of it.
        from goodfit.commands.instances.cross_validate import InstanceFolds

        return InstanceFolds()
    return SegmentationFolds()


def _subject(dataset: Any, explicit: dict[str, Any], folder: CrossFolder) -> Subject:
    return Subject(dataset, explicit, build_settings(explicit), cache_folder(dataset, folder.path))


def _names(asked: Sequence[int | str] | None, folds: Folds) -> list[str]:
    """Validate the folds asked for; by default all numbers."""
    known = [str(number) for number in range(len(folds.folds))]
    names = known if asked is None else list(dict.fromkeys(str(name).strip() for name in asked))
    unknown = [name for name in names if name not in (*known, ALL)]
    if unknown or not names:
        what = f"fold {', '.join(unknown)}: there is no such fold" if unknown else "folds: none is named"
        raise SettingsError(f"{what}. There are {', '.join(known)} and {ALL}.")
    return names


def _begin(
    kind: CrossKind[Any, Any, Any],
    subject: Subject,
    folder: CrossFolder,
    given: Folds | None,
    asked: Sequence[int | str] | None,
    observer: Observer,
    *,
    stop_on_fold: bool,
    fresh: bool,
) -> Setup:
    """Make folds and plan and write them down."""
    started = time.monotonic()
    folds = given or kind.make_folds(subject.dataset)
    names = _names(asked, folds)
    observer.note(f"folds: {folds.source}")
    for warning in folds.warnings:
        observer.note(f"warning: {warning}")
    inspected = _inspect(kind, subject, observer, fresh=fresh)
    plan = kind.make_plan(subject, inspected)
    count = 1 if names == [ALL] else len(folds.folds) + (ALL in names)
    limit = subject.settings.budget.time
    part = None if limit is None else (limit - (time.monotonic() - started)) / count
    plan = plan if part is None else _with_time(plan, part)
    plan = kind.measure_plan(plan, subject, inspected, observer, refit=True)
    if part is not None:
        plan = _with_time(plan, part, f"about {describe_seconds(part)} for each of {counted(count, 'fold')}")
    aside = set_cross_aside(folder) if fresh else None
    if aside is not None:
        observer.note(f"the old cross-validation is in {aside}")
    kind.save_plan(plan, folder.plan)
    save_folds(folds, folder.splits)
    record = CrossRecord(
        goodfit=__version__,
        dataset=str(subject.dataset.root.resolve()),
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        settings=subject.explicit,
        folds_from=folds.source,
        warnings=list(folds.warnings),
        stop_on_fold=stop_on_fold,
        planned=kind.measured_parts(plan),
    )
    setup = Setup(kind, subject, folder, folds, inspected, plan)
    write_record(setup, record, names)
    return setup


def _recall(
    kind: CrossKind[Any, Any, Any],
    dataset: Any,
    explicit: dict[str, Any],
    folder: CrossFolder,
    asked: Sequence[int | str] | None,
    observer: Observer,
) -> Setup:
    """Take folds and plan as they were written down; the plan may have been edited before the first training."""
    record = folder.read()
    explicit = {**record.settings, **{name: value for name, value in explicit.items() if name.startswith(CHANGEABLE)}}
    subject = _subject(dataset, explicit, folder)
    plan = kind.load_plan(folder.plan)
    with known_digests(subject.cache) as digests:
        key = kind.content_key(dataset, digests)
    if plan.data.key != key:
        raise PlanError(other_content(folder.plan, record.dataset, dataset))
    record = record.model_copy(update={"dataset": str(dataset.root.resolve())})
    for run in folder.begun().values():
        note_move(run, dataset, observer)
    folds = load_folds(folder.splits, dataset)
    names = _names(asked, folds)
    for name, run in folder.begun().items():
        edits = edits_since(run, plan)
        if edits:
            raise RunError(
                f"{folder.plan}: {', '.join(edits[:6])} changed since fold {name} was trained, and all folds share one "
                "plan. Undo the edit, or start again with --fresh or another --run."
            )
    observer.note(f"plan and folds: as they are in {folder.path}")
    inspected = _inspect(kind, subject, observer, fresh=False)
    if kind.measured_parts(plan) != record.planned:
        plan = kind.measure_plan(plan, subject, inspected, observer, refit=False)
        kind.save_plan(plan, folder.plan)
        record = record.model_copy(update={"planned": kind.measured_parts(plan)})
    setup = Setup(kind, subject, folder, folds, inspected, plan)
    write_record(setup, record, names)
    return setup


def _inspect(kind: CrossKind[Any, Any, Any], subject: Subject, observer: Observer, *, fresh: bool) -> Inspected:
    with locked(subject.cache, "dataset's cache"):
        return kind.inspect(subject, observer, fresh=fresh)


def _train_folds(
    setup: Setup,
    names: Sequence[str],
    recipe: type[Recipe] | str | None,
    observer: Observer,
    started: float,
    parallel: int | str,
) -> bool:
    """Train the folds that are not finished; give False when a signal asked to leave."""
    folder, subject = setup.folder, setup.subject
    record = folder.read()
    prepared = record.prepared_seconds + time.monotonic() - started
    folder.write(record.model_copy(update={"prepared_seconds": prepared}))
    settings = {name: value for name, value in subject.explicit.items() if name != "budget.time"}
    todo = [name for name in names if record.folds[name].status != "finished"]
    for name in names:
        if name not in todo:
            observer.note(f"fold {name}: finished before")
            add_probabilities(subject, setup.plan, folder.fold(name), observer)
    slots = slots_for(parallel, len(todo), setup.plan, subject.settings.machine.device, recipe, observer)
    if slots is not None:

        def job(name: str) -> FoldJob:
            plan, split = _fold_plan(setup, record, name, slots.count), setup.split(name, record)
            return fold_job(subject, folder, name, settings, plan, split)

        def ended(name: str) -> None:
            write_record(setup, folder.read(), names)
            gather_result(setup, finished=False)

        return train_side_by_side([job(name) for name in todo], slots, observer, ended)
    for name in todo:
        run, record = folder.fold(name), folder.read()
        split = setup.split(name, record)
        waiting = sum(entry.status != "finished" for entry in record.folds.values())
        sizes = f"{len(split.train)} train, {len(split.validation)} validation, {counted(len(split.test), 'test case')}"
        observer.note(f"fold {name} ({waiting} of {len(record.folds)} to do): {sizes}")
        plan = _fold_plan(setup, record, name, 1)
        before = _signals(run)
        try:
            result = train(
                subject.dataset.root,
                run=run.path,
                settings=settings,
                recipe=recipe,
                split=split,
                plan=plan,
                observer=observer,
            )
        finally:
            write_record(setup, folder.read(), names)
        if not result.finished:
            return False
        gather_result(setup, finished=False)  # the page shows each fold as soon as it is there
        if _signals(run) > before:
            observer.note(f"fold {name} ended early, as asked, and is scored")
            return name == todo[-1]
    return True


def _fold_plan(setup: Setup, record: CrossRecord, name: str, at_once: int) -> Plan | InstancePlan:
    """The plan of all folds, with this fold's part of the time where there is a limit."""
    if setup.subject.settings.budget.time is None:
        return setup.plan
    waiting = sum(entry.status != "finished" for entry in record.folds.values())
    seconds = _fold_seconds(setup, record, name, at_once)
    side_by_side = f", {at_once} at a time" if at_once > 1 else ""
    reason = (
        f"{describe_seconds(seconds)} for this fold: the time left of the cross-validation, in equal parts for the "
        f"{counted(waiting, 'fold')} to do{side_by_side}; the clock decides when the cooldown begins"
    )
    return _with_time(setup.plan, seconds, reason)


def _signals(run: RunFolder) -> set[str]:
    """Transitions of a run that Ctrl-C or SIGTERM brought about."""
    reasons = {str(event.get("reason")) for event in run.read_events()}
    return {reason for reason in reasons if "SIGINT received" in reason or "SIGTERM received" in reason}


def _fold_seconds(setup: Setup, record: CrossRecord, name: str, at_once: int) -> float:
    """Time budget of a fold, its earlier sittings included: what is left, in equal parts for the folds that are left."""
    limit = setup.subject.settings.budget.time
    assert limit is not None, "only asked with a time budget"
    spent = {fold: float(run.read_record().get("spent_seconds", 0.0)) for fold, run in setup.folder.begun().items()}
    # Folds side by side spend the same seconds.
    left = limit - record.prepared_seconds - sum(spent.values()) / at_once
    waiting = sum(entry.status != "finished" for entry in record.folds.values())
    rounds = -(-waiting // at_once)
    return spent.get(name, 0.0) + max(1.0, left) / rounds


def _with_time(plan: Plan | InstancePlan, seconds: float, reason: str | None = None) -> Plan | InstancePlan:
    """Set the time of a fold in a plan; it is never less than a second."""
    budget = plan.budget
    reasons = budget.reasons if reason is None else {**budget.reasons, "time": reason}
    changed = budget.model_copy(update={"time": max(1.0, seconds), "reasons": reasons})
    return plan.model_copy(update={"budget": changed})
