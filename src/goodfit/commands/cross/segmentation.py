"""Cross-validation of a segmentation, as far as it is one of a segmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.commands.cross.kind import Inspected
from goodfit.commands.inspect import inspect
from goodfit.commands.measure import measure_plan
from goodfit.commands.plan import base_plan, measured_parts, refuse_broken
from goodfit.data.dataset import content_key, open_dataset
from goodfit.data.folds import find_splits, load_folds, make_folds
from goodfit.errors import SettingsError
from goodfit.planning.plan import load_plan, save_plan
from goodfit.reporting.fold_tables import segmentation_tables
from goodfit.tasks.segmentation.fold_scores import pool, spread_over_folds
from goodfit.tasks.segmentation.scores import load_scores, save_scores, save_scores_csv

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from goodfit.commands.cross.kind import Subject
    from goodfit.data.dataset import Dataset
    from goodfit.data.digests import Digests
    from goodfit.data.folds import Folds
    from goodfit.observer import Observer
    from goodfit.planning.plan import Plan
    from goodfit.reporting.cross_validation import FoldTables
    from goodfit.tasks.scoring import FoldSpread
    from goodfit.tasks.segmentation.scores import Scores
    from goodfit.training.run_folder import RunFolder


class SegmentationFolds:
    """``CrossKind`` of volumes and images with labels."""

    def open(self, root: Path, group_by: str | None) -> Dataset:
        """Open a dataset."""
        return open_dataset(root, group_by=group_by)

    def content_key(self, dataset: Dataset, digests: Digests) -> str:
        """Digest of the dataset's content."""
        return content_key(dataset, digests)

    def make_folds(self, dataset: Dataset) -> Folds:
        """Take the folds of a splits_final.json that is there, else nnU-Net's."""
        found = find_splits(dataset)
        return make_folds(dataset) if found is None else load_folds(found, dataset)

    def inspect(self, subject: Subject, observer: Observer, *, fresh: bool) -> Inspected:
        """Check and measure the dataset, or recall what was found."""
        result, fingerprint = inspect(subject.dataset, subject.cache, observer, fresh=fresh)
        refuse_broken(subject.dataset, result)
        return Inspected(result.voxels, result.identical, fingerprint)

    def make_plan(self, subject: Subject, inspected: Inspected) -> Plan:
        """Derive the plan of all folds; of a cascade the first stage has to be there (nnU-Net: its five folds).

        Raises:
            SettingsError: a cascade without it.
        """
        plan = base_plan(subject.dataset, inspected.fingerprint, subject.settings)
        if plan.chosen.previous_stage is not None and subject.settings.plan.previous_stage is None:
            name = plan.chosen.previous_stage
            raise SettingsError(
                f"configuration {plan.configuration}: cross-validate its first stage before it, with -c {name}, and name that "
                "folder with --previous-stage."
            )
        return plan

    def measure_plan(
        self, plan: Plan, subject: Subject, inspected: Inspected, observer: Observer, *, refit: bool
    ) -> Plan:
        """Complete a plan with what depends on this machine."""
        cases, cache = len(subject.dataset.cases), subject.cache
        return measure_plan(plan, subject.settings, 0.0, observer, refit=refit, cases=cases, cache=cache)

    def measured_parts(self, plan: Plan) -> str:
        """Digest of what the measurement depends on."""
        return measured_parts(plan)

    def load_plan(self, path: Path) -> Plan:
        """Read plan.json."""
        return load_plan(path)

    def save_plan(self, plan: Plan, path: Path) -> None:
        """Write plan.json."""
        save_plan(plan, path)

    def load_scores(self, path: Path) -> Scores:
        """Read scores.json of a fold."""
        return load_scores(path)

    def save_scores(self, scores: Scores, path: Path) -> None:
        """Write scores.json and the table of the cases."""
        save_scores(scores, path)
        save_scores_csv(scores, path.with_suffix(".csv"))

    def fold_means(self, scores: Scores) -> tuple[dict[str, float | None], dict[str, dict[str, float | None]]]:
        """Give mean over classes, and of each class."""
        plain = scores.model_dump(mode="json", include={"mean", "classes"})
        classes = {
            label: {metric: value["mean"] for metric, value in summary.items() if isinstance(value, dict)}
            for label, summary in plain["classes"].items()
        }
        return plain["mean"], classes

    def spread(self, scores: Mapping[str, Scores]) -> FoldSpread:
        """Mean and spread over folds."""
        return spread_over_folds(scores)

    def pool(self, dataset: Dataset, scores: Mapping[str, Scores], runs: Mapping[str, RunFolder]) -> Scores:
        """Put the cases of all folds together."""
        return pool(scores)

    def tables(self, scores: Mapping[str, Scores], together: Scores | None) -> FoldTables:
        """Give what the page shows of the scores."""
        return segmentation_tables(scores, together)
