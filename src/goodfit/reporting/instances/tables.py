"""The tables and figures at the head of the report of instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.data.wording import counted
from goodfit.reporting.instances.curves import MEAN_AP
from goodfit.reporting.plotting import column
from goodfit.reporting.tables import (
    Cell,
    Table,
    Tile,
    capital,
    effort_tiles,
    last_if_nan,
    score_cell,
    steps,
    used_lines,
)
from goodfit.tasks.instances.scores import format_score

if TYPE_CHECKING:
    from collections.abc import Iterable

    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.reporting.instances.content import InstanceContent
    from goodfit.tasks.instances.scores import GroupScores, InstanceScores, PartScores


def tiles(content: InstanceContent) -> list[Tile]:
    """The figures that matter most."""
    found = []
    scores = content.scores
    if scores is not None:
        note = "optimistic" if scores.optimistic else counted(scores.frames, "frame")
        found.append(Tile(f"{scores.set_name} {scores.main} AP", format_score(scores.numbers.ap), note))
        found.append(Tile(f"{scores.set_name} {scores.main} AP50", format_score(scores.numbers.ap50), note))
        if scores.main == "mask":
            found.append(Tile(f"{scores.set_name} box AP", format_score(scores.kinds["box"].ap), note))
        if scores.instances:
            share = f"{100 * scores.found / scores.instances:.0f} %"
            found.append(Tile("objects found", share, f"of {scores.instances:,}; {scores.false:,} false"))
    else:
        nothing = content.split is not None and not content.split.test
        found.append(Tile("test AP", "–", "no test frames" if nothing else "not scored yet"))
    known = [value for value in column(content.rows, MEAN_AP) if value is not None]
    if known:
        found.append(Tile("best validation AP", format_score(max(known)), "while training"))
    return found + effort_tiles(content)


def budget_lines(content: InstanceContent) -> list[str]:
    """What was planned, and what the run has used of it."""
    plan = content.plan
    if plan is None:
        return []
    lines = []
    if content.split is not None and content.split.train:
        lines = [capital(line) for line in _planned(plan, len(content.split.train))]
    return lines + used_lines(content, plan.batch_size * steps(content))


def _planned(plan: InstancePlan, frames: int) -> list[str]:
    budget = plan.budget
    limit = "at most " if budget.time is not None or plan.training.patience is not None else ""
    epochs = budget.epochs
    if budget.expected_steps is not None:
        limit, epochs = "about ", min(epochs, max(1, budget.expected_steps // budget.steps_per_epoch))
    steps = budget.steps_per_epoch * epochs
    samples = plan.batch_size * steps
    return [
        f"batch {plan.batch_size} x {budget.steps_per_epoch} steps x {limit}{epochs} epochs = {steps:,} steps, "
        f"{samples:,} samples, {samples / frames:,.1f} passes over {counted(frames, 'training frame')}",
        *(budget.reasons[name] for name in ("time",) if name in budget.reasons),
    ]


def group_table(scores: InstanceScores) -> Table:
    """One row per group, the worst first."""
    header = ["group", "frames", "objects", f"{scores.main} AP", f"{scores.main} AP50"]
    groups = sorted(scores.groups.items(), key=lambda entry: last_if_nan(entry[1].ap))
    return Table(header, [[Cell(name, name), *_cells(group)] for name, group in groups])


def part_table(scores: InstanceScores) -> Table:
    """One row per part of a group, in order of time."""
    header = ["part", "frames", "objects", f"{scores.main} AP", f"{scores.main} AP50"]
    rows = []
    for name, group in scores.groups.items():
        for part in group.parts:
            title = f"{name}, {part.title}"
            rows.append([Cell(title, title), *_cells(part)])
    return Table(header, rows)


def _cells(scores: GroupScores | PartScores) -> Iterable[Cell]:
    counts = [Cell(f"{count:,}", str(count)) for count in (scores.frames, scores.instances)]
    return [*counts, score_cell(scores.ap, 3, bar=True), score_cell(scores.ap50, 3, bar=True)]
