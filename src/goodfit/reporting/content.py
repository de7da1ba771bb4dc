"""What a run folder holds, read as far as it is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from goodfit.data.splits import Split
from goodfit.errors import RunError
from goodfit.files import read_json
from goodfit.planning.plan import Plan, load_plan
from goodfit.reporting.curves import MEAN_DICE
from goodfit.tasks.segmentation.scores import Scores, load_scores
from goodfit.training.metrics_log import read_rows
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class RunContent:
    """What runs of all tasks have; what is not there yet is None or empty.

    Attributes:
        run: the folder.
        split: splits.json.
        rows: metrics.csv, one dict of text cells per epoch.
        events: events.json, the transitions and their reasons.
        record: run.json.
    """

    run: RunFolder
    split: Split | None
    rows: list[dict[str, str]]
    events: list[dict[str, Any]]
    record: dict[str, Any]

    @property
    def monitor(self) -> str:
        """The watched column of metrics.csv."""
        raise NotImplementedError


@dataclass(frozen=True)
class Content(RunContent):
    """A run of a segmentation, finished or not.

    Attributes:
        plan: plan.json.
        scores: scores.json.
    """

    plan: Plan | None
    scores: Scores | None

    @property
    def name(self) -> str:
        """Name of the dataset, or of the folder where nothing is known yet."""
        return self.run.path.resolve().name if self.plan is None else self.plan.data.name

    @property
    def monitor(self) -> str:
        """The watched column of metrics.csv."""
        return MEAN_DICE if self.plan is None else self.plan.training.monitor


def read_content(path: Path) -> Content:
    """Read a run folder of a segmentation.

    Raises:
        RunError: there is no such folder, or a file in it is damaged.
        PlanError: plan.json cannot be used.
    """
    run = run_folder(path)
    return Content(
        run=run,
        plan=load_plan(run.plan) if run.plan.is_file() else None,
        split=read_split(run.splits) if run.splits.is_file() else None,
        rows=read_rows(run.metrics) if run.metrics.is_file() else [],
        events=run.read_events(),
        scores=load_scores(run.scores) if run.scores.is_file() else None,
        record=run.read_record() if run.record.is_file() else {},
    )


def run_folder(path: Path) -> RunFolder:
    """Give the run folder of a path.

    Raises:
        RunError: there is no such folder.
    """
    if not path.is_dir():
        raise RunError(f"{path}: there is no such run folder.")
    return RunFolder(path)


def read_split(path: Path) -> Split:
    """Read splits.json as it is.

    Raises:
        RunError: it is no split; names the field.
    """
    try:
        return Split.model_validate(read_json(path, RunError))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{path}: this is no split ({where}: {first['msg']}).") from error
