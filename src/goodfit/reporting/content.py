"""What a run folder holds, read as far as it is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from goodfit.data.splits import Split
from goodfit.errors import RunError
from goodfit.files import read_json
from goodfit.planning.plan import Plan, load_plan
from goodfit.tasks.segmentation.scores import Scores, load_scores
from goodfit.training.metrics_log import read_rows
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Content:
    """A run, finished or not; what is not there yet is None or empty.

    Attributes:
        run: the folder.
        plan: plan.json.
        split: splits.json.
        rows: metrics.csv, one dict of text cells per epoch.
        events: events.json, the transitions and their reasons.
        scores: scores.json.
        record: run.json.
    """

    run: RunFolder
    plan: Plan | None
    split: Split | None
    rows: list[dict[str, str]]
    events: list[dict[str, Any]]
    scores: Scores | None
    record: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the dataset, or of the folder where nothing is known yet."""
        return self.run.path.resolve().name if self.plan is None else self.plan.data.name


def read_content(path: Path) -> Content:
    """Read a run folder.

    Raises:
        RunError: there is no such folder, or a file in it is damaged.
        PlanError: plan.json cannot be used.
    """
    if not path.is_dir():
        raise RunError(f"{path}: there is no such run folder.")
    run = RunFolder(path)
    return Content(
        run=run,
        plan=load_plan(run.plan) if run.plan.is_file() else None,
        split=_read_split(run.splits) if run.splits.is_file() else None,
        rows=read_rows(run.metrics) if run.metrics.is_file() else [],
        events=run.read_events(),
        scores=load_scores(run.scores) if run.scores.is_file() else None,
        record=run.read_record() if run.record.is_file() else {},
    )


def _read_split(path: Path) -> Split:
    try:
        return Split.model_validate(read_json(path, RunError))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{path}: this is no split ({where}: {first['msg']}).") from error
