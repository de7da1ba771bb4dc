"""What the folds of a cross-validation share, its record, and what is made of their scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goodfit.commands.cross.folder import ALL, CrossFolder, CrossRecord, FoldEntry
from goodfit.data.folds import Folds, all_split, fold_split
from goodfit.reporting.cross_validation import FoldLink, write_cross_report

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from goodfit.commands.cross.kind import CrossKind, Inspected, Subject
    from goodfit.data.splits import Split
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.planning.plan import Plan
    from goodfit.tasks.instances.scores import InstanceScores
    from goodfit.tasks.scoring import FoldSpread
    from goodfit.tasks.segmentation.scores import Scores
    from goodfit.training.run_folder import RunFolder


@dataclass(frozen=True)
class CrossValidation:
    """What a call of ``cross_validate`` leaves.

    Attributes:
        folder: the folder of the whole.
        runs: fold -> its run folder, for the folds that were begun.
        fold_scores: fold -> scores of its cases (``Scores`` or ``InstanceScores``), for the folds that are finished.
        scores: of all these cases together; None as long as there are none.
        over_folds: mean and spread over the finished folds.
        report: the page.
        finished: False when a signal interrupted it; the next call goes on.
    """

    folder: Path
    runs: dict[str, RunFolder]
    fold_scores: dict[str, Any]
    scores: Scores | InstanceScores | None
    over_folds: FoldSpread
    report: Path
    finished: bool


@dataclass(frozen=True)
class Setup:
    """What all folds share."""

    kind: CrossKind[Any, Any, Any]
    subject: Subject
    folder: CrossFolder
    folds: Folds
    inspected: Inspected
    plan: Plan | InstancePlan

    def split(self, name: str, record: CrossRecord) -> Split:
        """Split of a fold, or of all cases."""
        dataset, seed = self.subject.dataset, self.subject.settings.data.split_seed
        if name == ALL:
            return all_split(dataset, seed=seed)
        return fold_split(
            self.folds,
            int(name),
            dataset,
            seed=seed,
            class_presence=self.inspected.presence,
            identical=self.inspected.identical,
            stop_on_fold=record.stop_on_fold,
        )


def write_record(setup: Setup, record: CrossRecord, names: Sequence[str]) -> None:
    """Bring the record up to date with the run folders."""
    numbers = [str(number) for number in range(len(setup.folds.folds))]
    runs = setup.folder.begun()
    listed = [ALL] if {*names, *runs} == {ALL} else [*numbers, *([ALL] if ALL in {*names, *runs} else [])]
    scores = fold_scores(setup)
    entries = {name: _entry(setup, record, name, runs.get(name), scores.get(name)) for name in listed}
    updates: dict[str, Any] = {
        "folds": entries,
        "finished": all(entries[name].status == "finished" for name in numbers if name in entries),
        "optimistic": any(one.optimistic for one in scores.values()),
        "over_folds": setup.kind.spread(scores),
    }
    setup.folder.write(record.model_copy(update=updates))


def _entry(setup: Setup, record: CrossRecord, name: str, run: RunFolder | None, scores: Any) -> FoldEntry:
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
    mean, classes = setup.kind.fold_means(scores)
    return entry.model_copy(update={"mean": mean, "classes": classes})


def fold_scores(setup: Setup) -> dict[str, Any]:
    """Scores of the finished folds."""
    return {
        name: setup.kind.load_scores(run.scores)
        for name, run in setup.folder.begun().items()
        if run.scores.is_file() and run.read_record().get("status") == "finished"
    }


def gather_result(setup: Setup, *, finished: bool) -> CrossValidation:
    """Put the finished folds together: scores.json, scores.csv, the page."""
    kind, folder, record = setup.kind, setup.folder, setup.folder.read()
    scores, runs = fold_scores(setup), folder.begun()
    together = kind.pool(setup.subject.dataset, scores, runs) if scores else None
    if together is not None:
        kind.save_scores(together, folder.scores)
    pages = {name: f"{run.path.name}/{run.report.name}" for name, run in runs.items() if run.report.is_file()}
    links = [
        FoldLink(name, entry.status, (entry.train, entry.validation, entry.test), pages.get(name))
        for name, entry in record.folds.items()
    ]
    page = write_cross_report(
        folder.report,
        setup.plan.data.name,
        links,
        kind.tables(scores, together),
        folds_from=record.folds_from,
        warnings=record.warnings,
    )
    return CrossValidation(
        folder=folder.path,
        runs=runs,
        fold_scores=scores,
        scores=together,
        over_folds=kind.spread(scores),
        report=page,
        finished=finished,
    )
