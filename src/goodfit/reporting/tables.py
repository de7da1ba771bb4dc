"""The tables and figures at the head of the report, as text cells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goodfit.planning.arithmetic import describe_budget, describe_seconds
from goodfit.reporting.curves import MEAN_DICE
from goodfit.reporting.plotting import column
from goodfit.tasks.scoring import number
from goodfit.tasks.segmentation.scores import OPTIMISTIC, mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from goodfit.reporting.content import Content, RunContent
    from goodfit.tasks.segmentation.scores import Scores

_MOST_CLASSES = 12  # columns of Dice per class; with more classes the table shows the means only


@dataclass(frozen=True)
class Tile:
    """A figure at the head of the page."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a sortable table.

    Attributes:
        text: what is shown.
        key: what is sorted by; empty for an undefined score, which sorts last.
        share: 0 to 1 where a bar is drawn behind the text, else None.
    """

    text: str
    key: str
    share: float | None = None


@dataclass(frozen=True)
class Table:
    """Header cells and rows; the first column names the row."""

    header: list[str]
    rows: list[list[Cell]]


def tiles(content: Content) -> list[Tile]:
    """The figures that matter most."""
    found = []
    scores = content.scores
    if scores is not None:
        note = OPTIMISTIC if scores.optimistic else f"{len(scores.cases)} cases"
        found.append(Tile(f"{scores.set} Dice", number(scores.mean_dice, 3), note))
        found.append(Tile(f"{scores.set} HD95", number(scores.mean["hd95"], 2), scores.distance_unit))
    else:
        nothing = content.split is not None and not content.split.test
        found.append(Tile("test Dice", "–", "no test cases" if nothing else "not scored yet"))
    known = [value for value in column(content.rows, MEAN_DICE) if value is not None]
    if known:
        learned = content.split is not None and content.split.validation == content.split.train
        found.append(
            Tile("best validation Dice", f"{max(known):.3f}", "on training cases" if learned else "while training")
        )
    return found + effort_tiles(content)


def effort_tiles(content: RunContent) -> list[Tile]:
    """How long the training took so far."""
    found = []
    if content.rows:
        found.append(Tile("epochs", f"{int(content.rows[-1]['epoch']):,}", f"{steps(content):,} steps"))
    seconds = training_seconds(content)
    if seconds:
        found.append(Tile("training time", describe_seconds(seconds), "validation included"))
    return found


def steps(content: RunContent) -> int:
    """Steps that the run has done."""
    return int(float(content.rows[-1].get("step") or 0)) if content.rows else 0


def training_seconds(content: RunContent) -> float:
    """Seconds that the epochs took together."""
    elapsed = [value for value in column(content.rows, "elapsed_seconds") if value is not None]
    return max(elapsed) if elapsed else sum(value or 0.0 for value in column(content.rows, "seconds"))


def budget_lines(content: Content) -> list[str]:
    """What was planned, and what the run has used of it."""
    if content.plan is None:
        return []
    lines = []
    if content.split is not None and content.split.train:
        lines = [capital(line) for line in describe_budget(content.plan, len(content.split.train))]
    return lines + used_lines(content, content.plan.chosen.samples(steps(content)))


def used_lines(content: RunContent, samples: int) -> list[str]:
    """What the run has used of its budget: one line, or none before the first row.

    Args:
        content: of the run.
        samples: that its steps took.
    """
    if not content.rows:
        return []
    done, seconds = steps(content), training_seconds(content)
    used = f"Used: {done:,} steps, {samples:,} samples"
    if seconds and done:
        used += f", {describe_seconds(seconds)} ({1000 * seconds / done:.0f} ms per step, validation included)"
    return [used]


def split_rows(content: RunContent) -> list[tuple[str, int, int | None, str]]:
    """Set, number of cases, number of groups (None where none were given) and what the set is for."""
    if content.split is None:
        return []
    uses = {
        "train": "the network learns from these",
        "validation": "decide when to stop and which checkpoint is best",
        "test": "scored once, at the end; nothing was decided on them",
    }
    if content.split.optimistic:
        uses["test"] = f"scored at the end; optimistic: {content.split.optimistic_reason}"
    if not content.split.test:
        uses["test"] = f"none to score: {content.split.optimistic_reason}"
    groups = content.split.groups
    return [
        (name, len(cases), len({groups.get(case, case) for case in cases}) if groups else None, uses[name])
        for name, cases in content.split.sets().items()
    ]


def case_table(scores: Scores) -> Table:
    """One row per case, the worst first."""
    classes = list(scores.classes)
    shown = classes if 1 < len(classes) <= _MOST_CLASSES else []
    distance = scores.distance_unit
    header = ["case", "mean Dice", *(f"{name} Dice" for name in shown)]
    header += ["mean IoU", f"mean HD95 ({distance})", f"surface Dice ({scores.tolerance:g} {distance})"]
    rows = []
    for case in sorted(scores.cases, key=lambda name: last_if_nan(scores.case_dice(name))):
        per_class = scores.cases[case]
        metrics = per_class.values()
        rows.append(
            [
                Cell(case, case),
                score_cell(scores.case_dice(case), 3, bar=True),
                *(score_cell(per_class[name].dice, 3, bar=True) for name in shown),
                score_cell(mean(one.iou for one in metrics), 3),
                score_cell(mean(one.hd95 for one in metrics), 2),
                score_cell(mean(one.surface_dice for one in metrics), 3),
            ]
        )
    return Table(header, rows)


def environment_rows(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Everything run.json says, nested names joined by blanks."""
    return list(_flat(record, ""))


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name} ")
        elif isinstance(value, list):
            yield prefix + name, ", ".join(str(item) for item in value)
        elif value is not None:
            yield prefix + name, f"{value:.4g}" if isinstance(value, float) else str(value)


def score_cell(value: float, digits: int, *, bar: bool = False) -> Cell:
    """Make a cell of a score; NaN is a dash and sorts last."""
    if math.isnan(value):
        return Cell("–", "")
    return Cell(number(value, digits), repr(value), value if bar else None)


def last_if_nan(value: float) -> tuple[bool, float]:
    """Sort key that puts NaN last."""
    return math.isnan(value), value


def capital(text: str) -> str:
    """Begin with a capital letter; the rest stays as it is."""
    return text[:1].upper() + text[1:]
