"""What all plots over the training share: the x axis, the phases behind the lines, the lines.

Figures are plotly's, written as plain values so that nothing heavy is imported. Text, grid and axis colours are left
to the page, which sets them for its light or dark theme.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from goodfit.reporting.colours import PHASES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Figure = dict[str, Any]

PHASE_NAMES = {"warmup": "warm-up", "stable": "stable", "cooldown": "cooldown"}
_FEW_POINTS = 30  # up to here points are marked


@dataclass(frozen=True)
class Axis:
    """The x axis: finished epochs, or steps where metrics.csv has rows within epochs.

    Attributes:
        title: "epoch" or "step".
        x: place of each row.
        epochs: epoch of each row.
        start: where the first row begins.
    """

    title: str
    x: list[float]
    epochs: list[int]
    start: float

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, str]]) -> Axis:
        """Choose the axis for the rows."""
        epochs = [int(row["epoch"]) for row in rows]
        steps = [_number(row.get("step")) for row in rows]
        known = [step for step in steps if step is not None]
        once = all(later > earlier for earlier, later in pairwise(epochs))
        if once or len(known) < len(rows):
            x = [float(epoch) for epoch in epochs]
            return cls("epoch", x, epochs, x[0] - 1 if x else 0.0)
        first_length = known[1] - known[0]
        return cls("step", known, epochs, max(0.0, known[0] - first_length))

    def at_epoch(self, epoch: int) -> float:
        """Place of the first row of an epoch, or of the next one that has a row."""
        return next((x for x, at in zip(self.x, self.epochs, strict=True) if at >= epoch), self.x[-1])


@dataclass(frozen=True)
class Span:
    """A phase of the run, from one place on the x axis to another."""

    phase: str
    start: float
    end: float


def column(rows: Sequence[Mapping[str, str]], name: str) -> list[float | None]:
    """Read a column of metrics.csv; a missing or empty cell is None."""
    return [_number(row.get(name)) for row in rows]


def has_values(rows: Sequence[Mapping[str, str]], name: str) -> bool:
    """Whether any row has a value in a column."""
    return any(value is not None for value in column(rows, name))


def phase_spans(rows: Sequence[Mapping[str, str]]) -> list[Span]:
    """Join the rows of equal phase; a row stands for the steps that end at its place."""
    axis = Axis.of(rows)
    spans: list[Span] = []
    for row, end in zip(rows, axis.x, strict=True):
        phase = row.get("phase") or ""
        if spans and spans[-1].phase == phase:
            spans[-1] = Span(phase, spans[-1].start, end)
        else:
            spans.append(Span(phase, spans[-1].end if spans else axis.start, end))
    return spans


def line(
    rows: Sequence[Mapping[str, str]],
    name: str,
    title: str,
    colour: str,
    *,
    width: float = 2.0,
    dash: str = "solid",
    factor: float = 1.0,
) -> dict[str, Any]:
    """Draw a column over the training; gaps of rows without a value are bridged.

    Args:
        rows: rows of metrics.csv.
        name: the column.
        title: its name in the legend.
        colour: of line and markers.
        width: of the line, in pixels.
        dash: plotly's name of the pattern.
        factor: what the values are multiplied by.
    """
    axis = Axis.of(rows)
    values = [None if value is None else factor * value for value in column(rows, name)]
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers" if len(values) - values.count(None) <= _FEW_POINTS else "lines",
        "x": axis.x,
        "y": values,
        "name": title,
        "connectgaps": True,
        "line": {"color": colour, "width": width, "dash": dash},
        "marker": {"size": min(5.0, 3 * width), "color": colour},
        "hovertemplate": "%{y:.4g}",
    }
    if axis.title == "step":
        trace |= {"customdata": axis.epochs, "hovertemplate": "%{y:.4g} (epoch %{customdata})"}
    return trace


def layout(rows: Sequence[Mapping[str, str]], title: str) -> dict[str, Any]:
    """Lay out a plot over the training, its phases shaded."""
    spans = phase_spans(rows)
    shapes = [
        {
            "type": "rect",
            "xref": "x",
            "yref": "paper",
            "x0": span.start,
            "x1": span.end,
            "y0": 0,
            "y1": 1,
            "fillcolor": PHASES.get(span.phase, "rgba(0,0,0,0)"),
            "line": {"width": 0},
            "layer": "below",
        }
        for span in spans
    ]
    ends = {"range": [spans[0].start, spans[-1].end]} if spans else {}
    return {
        "xaxis": {"title": {"text": Axis.of(rows).title}, "rangemode": "tozero", **ends},
        "yaxis": {"title": {"text": title}},
        "hovermode": "x unified",
        "shapes": shapes,
    }


def _number(text: str | None) -> float | None:
    if not text:
        return None
    value = float(text)
    return value if math.isfinite(value) else None
