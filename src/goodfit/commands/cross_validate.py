"""Every case predicted by a model that has not seen it: one training per fold, all with the same plan."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodfit import __version__
from goodfit.commands.cross_folder import ALL, CrossFolder, CrossRecord, FoldEntry, choose_folder, set_cross_aside
from goodfit.commands.extensions import with_extensions
from goodfit.commands.inspect import inspect
from goodfit.commands.measure import measure_plan
from goodfit.commands.places import CHANGEABLE, cache_folder
from goodfit.commands.plan import base_plan, measured_parts, refuse_broken
from goodfit.commands.train import train
from goodfit.commands.trained import edits_since
from goodfit.data.dataset import Dataset, content_key, open_dataset
from goodfit.data.folds import Folds, all_split, find_splits, fold_split, load_folds, make_folds, save_folds
from goodfit.data.wording import counted
from goodfit.errors import PlanError, RunError, SettingsError
from goodfit.observer import Observer
from goodfit.planning.arithmetic import describe_seconds
from goodfit.planning.plan import Plan, load_plan, save_plan
from goodfit.reporting.cross_validation import FoldLink, write_cross_report
from goodfit.settings import Settings, build_settings
from goodfit.tasks.segmentation.fold_scores import FoldSpread, pool, spread_over_folds
from goodfit.tasks.segmentation.scores import load_scores, save_scores, save_scores_csv
from goodfit.training.run_folder import RunFolder, locked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.data.checks import CheckResult
    from goodfit.data.splits import Split
    from goodfit.planning.fingerprint import Fingerprint
    from goodfit.tasks.segmentation.scores import Scores
    from goodfit.training.recipe import Recipe


@dataclass(frozen=True)
class CrossValidation:
    """What a call of ``cross_validate`` leaves.

    Attributes:
        folder: the folder of the whole.
        runs: fold -> its run folder, for the folds that were begun.
        fold_scores: fold -> scores of its cases, for the folds that are finished.
        scores: of all these cases together; None as long as there are none.
        over_folds: mean and spread over the finished folds.
        report: the page.
        finished: False when a signal interrupted it; the next call goes on.
    """

    folder: Path
    runs: dict[str, RunFolder]
    fold_scores: dict[str, Scores]
    scores: Scores | None
    over_folds: FoldSpread
    report: Path
    finished: bool


@dataclass(frozen=True)
class _Setup:
    """What all folds share."""

    dataset: Dataset
    explicit: dict[str, Any]
    settings: Settings
    folder: CrossFolder
    folds: Folds
    checked: CheckResult
    plan: Plan

    def split(self, name: str, record: CrossRecord) -> Split:
        """Split of a fold, or of all cases."""
        seed = self.settings.data.split_seed
        if name == ALL:
            return all_split(self.dataset, seed=seed)
        return fold_split(
            self.folds,
            int(name),
            self.dataset,
            seed=seed,
            class_presence=self.checked.voxels,
            identical=self.checked.identical,
            stop_on_fold=record.stop_on_fold,
        )


def cross_validate(
    dataset: str | Path,
    *,
    run: str | Path | None = None,
    fresh: bool = False,
    folds: Sequence[int | str] | None = None,
    splits: str | Path | None = None,
    stop_on_fold: bool = False,
    settings: Mapping[str, Any] | None = None,
    recipe: type[Recipe] | str | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> CrossValidation:
    """Train a model for each fold, score it on that fold, and put the scores together.

    The folds are nnU-Net's for the same case names (see ``goodfit.data.folds``), those of a splits_final.json in the
    dataset's folder or in nnU-Net's folder of preprocessed data beside it, or those of ``splits``. A fold is scored
    once, at the end; a stopping set taken from its training part decides when to stop. All folds share plan and
    preprocessed data. Interrupted, the next call goes on in the fold that was running.

    Args:
        dataset: folder in nnU-Net's raw layout, or with ``images/`` and ``labels/``.
        run: the folder; default runs/DATASET/cv-DATE-TIME, or the newest one that was asked for alike.
        fresh: start again.
        folds: numbers of the folds to train now; "all" trains on every case, without a score. Default: all numbers.
        splits: a file in the format of nnU-Net's splits_final.json.
        stop_on_fold: let each fold decide itself when to stop; its scores are marked as optimistic.
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
    opened = open_dataset(Path(dataset), group_by=build_settings(explicit).data.group_by)
    given = None if splits is None else load_folds(Path(splits), opened)
    folder = choose_folder(
        opened, None if run is None else Path(run), explicit, stop_on_fold=stop_on_fold, given=given, fresh=fresh
    )
    with locked(folder.path, "cross-validation"):
        if folder.record.is_file() and not fresh:
            setup = _recall(opened, explicit, folder, folds, observer)
        else:
            setup = _begin(opened, explicit, folder, given, folds, observer, stop_on_fold=stop_on_fold, fresh=fresh)
        finished = _train_folds(setup, _names(folds, setup.folds), recipe, observer, started)
        observer.stage("report")
        return _result(setup, finished=finished)


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
    dataset: Dataset,
    explicit: dict[str, Any],
    folder: CrossFolder,
    given: Folds | None,
    asked: Sequence[int | str] | None,
    observer: Observer,
    *,
    stop_on_fold: bool,
    fresh: bool,
) -> _Setup:
    """Make folds and plan and write them down."""
    started = time.monotonic()
    settings = build_settings(explicit)
    found = find_splits(dataset)
    folds = given or (make_folds(dataset) if found is None else load_folds(found, dataset))
    names = _names(asked, folds)
    observer.note(f"folds: {folds.source}")
    for warning in folds.warnings:
        observer.note(f"warning: {warning}")
    checked, fingerprint = _inspect(dataset, folder, observer, fresh=fresh)
    plan = base_plan(dataset, fingerprint, settings)
    count = 1 if names == [ALL] else len(folds.folds) + (ALL in names)
    limit = settings.budget.time
    part = None if limit is None else (limit - (time.monotonic() - started)) / count
    plan = measure_plan(plan if part is None else _with_time(plan, part), settings, 0.0, observer, refit=True)
    if part is not None:
        plan = _with_time(plan, part, f"about {describe_seconds(part)} for each of {counted(count, 'fold')}")
    aside = set_cross_aside(folder) if fresh else None
    if aside is not None:
        observer.note(f"the old cross-validation is in {aside}")
    save_plan(plan, folder.plan)
    save_folds(folds, folder.splits)
    record = CrossRecord(
        goodfit=__version__,
        dataset=str(dataset.root.resolve()),
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        settings=explicit,
        folds_from=folds.source,
        warnings=list(folds.warnings),
        stop_on_fold=stop_on_fold,
        planned=measured_parts(plan),
    )
    setup = _Setup(dataset, explicit, settings, folder, folds, checked, plan)
    _write_record(setup, record, names)
    return setup


def _recall(
    dataset: Dataset,
    explicit: dict[str, Any],
    folder: CrossFolder,
    asked: Sequence[int | str] | None,
    observer: Observer,
) -> _Setup:
    """Take folds and plan as they were written down; the plan may have been edited before the first training."""
    record = folder.read()
    explicit = {**record.settings, **{name: value for name, value in explicit.items() if name.startswith(CHANGEABLE)}}
    settings = build_settings(explicit)
    folds, plan = load_folds(folder.splits, dataset), load_plan(folder.plan)
    names = _names(asked, folds)
    if plan.data.key != content_key(dataset):
        raise PlanError(
            f"{folder.plan}: the dataset has changed since this plan was made. Start again with --fresh, or restore it."
        )
    for name, run in folder.begun().items():
        edits = edits_since(run, plan)
        if edits:
            raise RunError(
                f"{folder.plan}: {', '.join(edits[:6])} changed since fold {name} was trained, and all folds share one "
                "plan. Undo the edit, or start again with --fresh or another --run."
            )
    observer.note(f"plan and folds: as they are in {folder.path}")
    checked, _ = _inspect(dataset, folder, observer, fresh=False)
    if measured_parts(plan) != record.planned:
        plan = measure_plan(plan, settings, 0.0, observer, refit=False)
        save_plan(plan, folder.plan)
        record = record.model_copy(update={"planned": measured_parts(plan)})
    setup = _Setup(dataset, explicit, settings, folder, folds, checked, plan)
    _write_record(setup, record, names)
    return setup


def _inspect(
    dataset: Dataset, folder: CrossFolder, observer: Observer, *, fresh: bool
) -> tuple[CheckResult, Fingerprint]:
    cache = cache_folder(dataset, folder.path)
    with locked(cache, "dataset's cache"):
        result, fingerprint = inspect(dataset, cache, observer, fresh=fresh)
    refuse_broken(dataset, result)
    assert fingerprint is not None, "a dataset without errors has a fingerprint"
    return result, fingerprint


def _train_folds(
    setup: _Setup, names: Sequence[str], recipe: type[Recipe] | str | None, observer: Observer, started: float
) -> bool:
    """Train the folds that are not finished; give False when a signal asked to leave."""
    folder, dataset = setup.folder, setup.dataset
    record = folder.read()
    prepared = record.prepared_seconds + time.monotonic() - started
    folder.write(record.model_copy(update={"prepared_seconds": prepared}))
    settings = {name: value for name, value in setup.explicit.items() if name != "budget.time"}
    for name in names:
        run, record = folder.fold(name), folder.read()
        if record.folds[name].status == "finished":
            observer.note(f"fold {name}: finished before")
            continue
        split = setup.split(name, record)
        waiting = sum(entry.status != "finished" for entry in record.folds.values())
        sizes = f"{len(split.train)} train, {len(split.validation)} validation, {counted(len(split.test), 'test case')}"
        observer.note(f"fold {name} ({waiting} of {len(record.folds)} to do): {sizes}")
        plan = setup.plan
        if setup.settings.budget.time is not None:
            seconds = _fold_seconds(setup, record, name)
            reason = (
                f"{describe_seconds(seconds)} for this fold: the time left of the cross-validation, in equal parts for the "
                f"{counted(waiting, 'fold')} to do; the clock decides when the cooldown begins"
            )
            plan = _with_time(plan, seconds, reason)
        before = _signals(run)
        try:
            result = train(
                dataset.root, run=run.path, settings=settings, recipe=recipe, split=split, plan=plan, observer=observer
            )
        finally:
            _write_record(setup, folder.read(), names)
        if not result.finished:
            return False
        _result(setup, finished=False)  # the page shows each fold as soon as it is there
        if _signals(run) > before:
            observer.note(f"fold {name} ended early, as asked, and is scored")
            return name == names[-1]
    return True


def _signals(run: RunFolder) -> set[str]:
    """Transitions of a run that Ctrl-C or SIGTERM brought about."""
    reasons = {str(event.get("reason")) for event in run.read_events()}
    return {reason for reason in reasons if "SIGINT received" in reason or "SIGTERM received" in reason}


def _fold_seconds(setup: _Setup, record: CrossRecord, name: str) -> float:
    """Time budget of a fold, its earlier sittings included: what is left, in equal parts for the folds that are left."""
    limit = setup.settings.budget.time
    assert limit is not None, "only asked with a time budget"
    spent = {fold: float(run.read_record().get("spent_seconds", 0.0)) for fold, run in setup.folder.begun().items()}
    left = limit - record.prepared_seconds - sum(spent.values())
    waiting = sum(entry.status != "finished" for entry in record.folds.values())
    return spent.get(name, 0.0) + max(1.0, left) / waiting


def _with_time(plan: Plan, seconds: float, reason: str | None = None) -> Plan:
    """Set the time of a fold in a plan; it is never less than a second."""
    budget = plan.budget
    reasons = budget.reasons if reason is None else {**budget.reasons, "time": reason}
    changed = budget.model_copy(update={"time": max(1.0, seconds), "reasons": reasons})
    return plan.model_copy(update={"budget": changed})


def _write_record(setup: _Setup, record: CrossRecord, names: Sequence[str]) -> None:
    """Bring the record up to date with the run folders."""
    numbers = [str(number) for number in range(len(setup.folds.folds))]
    runs = setup.folder.begun()
    listed = [ALL] if {*names, *runs} == {ALL} else [*numbers, *([ALL] if ALL in {*names, *runs} else [])]
    scores = _fold_scores(setup.folder)
    entries = {name: _entry(setup, record, name, runs.get(name), scores.get(name)) for name in listed}
    updates: dict[str, Any] = {
        "folds": entries,
        "finished": all(entries[name].status == "finished" for name in numbers if name in entries),
        "optimistic": any(one.optimistic for one in scores.values()),
        "over_folds": spread_over_folds(scores),
    }
    setup.folder.write(record.model_copy(update=updates))


def _entry(setup: _Setup, record: CrossRecord, name: str, run: RunFolder | None, scores: Scores | None) -> FoldEntry:
    split = setup.split(name, record)
    entry = FoldEntry(
        run=setup.folder.fold(name).path.name,
        status="waiting" if run is None else str(run.read_record().get("status")),
        train=len(split.train),
        validation=len(split.validation),
        test=len(split.test),
    )
    if scores is None:
        return entry
    classes = {
        label: {metric: value["mean"] for metric, value in summary.items() if isinstance(value, dict)}
        for label, summary in scores.model_dump(mode="json", include={"classes"})["classes"].items()
    }
    return entry.model_copy(
        update={"mean": scores.model_dump(mode="json", include={"mean"})["mean"], "classes": classes}
    )


def _fold_scores(folder: CrossFolder) -> dict[str, Scores]:
    """Scores of the finished folds."""
    return {
        name: load_scores(run.scores)
        for name, run in folder.begun().items()
        if run.scores.is_file() and run.read_record().get("status") == "finished"
    }


def _result(setup: _Setup, *, finished: bool) -> CrossValidation:
    """Put the finished folds together: scores.json, scores.csv, the page."""
    folder, record = setup.folder, setup.folder.read()
    scores, runs = _fold_scores(folder), folder.begun()
    together = pool(scores) if scores else None
    if together is not None:
        save_scores(together, folder.scores)
        save_scores_csv(together, folder.scores.with_suffix(".csv"))
    pages = {name: f"{run.path.name}/{run.report.name}" for name, run in runs.items() if run.report.is_file()}
    links = [
        FoldLink(name, entry.status, (entry.train, entry.validation, entry.test), pages.get(name))
        for name, entry in record.folds.items()
    ]
    page = write_cross_report(
        folder.report, setup.plan.data.name, links, scores, folds_from=record.folds_from, warnings=record.warnings
    )
    return CrossValidation(
        folder=folder.path,
        runs=runs,
        fold_scores=scores,
        scores=together,
        over_folds=spread_over_folds(scores),
        report=page,
        finished=finished,
    )
