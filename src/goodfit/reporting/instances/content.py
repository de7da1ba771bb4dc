"""What the folder of a run on instances holds, read as far as it is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from goodfit.planning.instances.plan import InstancePlan, load_instance_plan
from goodfit.reporting.content import RunContent, read_split, run_folder
from goodfit.reporting.instances.curves import MEAN_AP
from goodfit.tasks.instances.scores import InstanceScores, load_instance_scores
from goodfit.tasks.instances.thresholds import THRESHOLDS, Thresholds, load_thresholds
from goodfit.training.metrics_log import read_rows

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class InstanceContent(RunContent):
    """A run on instances, finished or not.

    Attributes:
        plan: plan.json.
        scores: scores.json.
        thresholds: thresholds.json.
    """

    plan: InstancePlan | None
    scores: InstanceScores | None
    thresholds: Thresholds | None = None

    @property
    def name(self) -> str:
        """Name of the dataset, or of the folder where nothing is known yet."""
        return self.run.path.resolve().name if self.plan is None else self.plan.data.name

    @property
    def monitor(self) -> str:
        """The watched column of metrics.csv."""
        return MEAN_AP if self.plan is None else self.plan.training.monitor


def read_instance_content(path: Path) -> InstanceContent:
    """Read a run folder of instances.

    Raises:
        RunError: there is no such folder, or a file in it is damaged.
        PlanError: plan.json cannot be used.
    """
    run = run_folder(path)
    thresholds = run.path / THRESHOLDS
    return InstanceContent(
        run=run,
        plan=load_instance_plan(run.plan) if run.plan.is_file() else None,
        split=read_split(run.splits) if run.splits.is_file() else None,
        rows=read_rows(run.metrics) if run.metrics.is_file() else [],
        events=run.read_events(),
        scores=load_instance_scores(run.scores) if run.scores.is_file() else None,
        record=run.read_record() if run.record.is_file() else {},
        thresholds=load_thresholds(thresholds) if thresholds.is_file() else None,
    )
