"""The plots of a run as plotly figures, written as plain values so that nothing heavy is imported.

Text, grid and axis colours are left to the page, which sets them for its light or dark theme. Every x axis counts
finished epochs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goodfit.reporting.colours import PHASES, TRAINING, VALIDATION, class_colours

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.tasks.segmentation.scores import Scores

    Figure = dict[str, Any]

PHASE_NAMES = {"warmup": "warm-up", "stable": "stable", "cooldown": "cooldown"}
MEAN_DICE = "val_dice"
_CLASS_DICE = "val_dice_"
_FEW_POINTS = 30  # up to here points are marked
_NAMED_CLASSES = 10  # more than these get no legend entry


@dataclass(frozen=True)
class Span:
    """A phase of the run, from one number of finished epochs to another."""

    phase: str
    start: float
    end: float


def column(rows: Sequence[Mapping[str, str]], name: str) -> list[float | None]:
    """Read a column of metrics.csv; a missing or empty cell is None."""
    return [_number(row.get(name)) for row in rows]


def phase_spans(rows: Sequence[Mapping[str, str]]) -> list[Span]:
    """Join the rows of equal phase; a row stands for the epoch that ends at its number."""
    spans: list[Span] = []
    for row in rows:
        phase, end = row.get("phase") or "", float(row["epoch"])
        if spans and spans[-1].phase == phase:
            spans[-1] = Span(phase, spans[-1].start, end)
        else:
            spans.append(Span(phase, spans[-1].end if spans else end - 1, end))
    return spans


def loss_figure(rows: Sequence[Mapping[str, str]]) -> Figure:
    """Training and validation loss on one axis."""
    traces = [
        _line(rows, "train_loss", "training", TRAINING),
        _line(rows, "val_loss", "validation", VALIDATION, width=2.4),
    ]
    return {"data": traces, "layout": _layout(rows, "loss")}


def dice_figure(rows: Sequence[Mapping[str, str]]) -> Figure:
    """Validation Dice of each class and their mean, the highest mean marked."""
    names = [name.removeprefix(_CLASS_DICE) for name in (rows[0] if rows else {}) if name.startswith(_CLASS_DICE)]
    traces = []
    for name, colour in class_colours(names).items():
        line = _line(rows, _CLASS_DICE + name, name, colour, width=1.4)
        line["showlegend"] = len(names) <= _NAMED_CLASSES
        traces.append(line)
    traces.append(_line(rows, MEAN_DICE, "mean", VALIDATION, width=2.8))
    layout = _layout(rows, "Dice")
    highest = _highest(rows)
    if highest is not None:
        epoch, value = highest
        traces.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "x": [epoch],
                "y": [value],
                "name": "highest mean",
                "text": [f"{value:.3f}"],
                "textposition": "bottom left" if epoch > float(rows[-1]["epoch"]) / 2 else "bottom right",
                "cliponaxis": False,
                "showlegend": False,
                "marker": {"symbol": "star", "size": 13, "color": VALIDATION},
                "hovertemplate": f"highest mean {value:.4f}<extra></extra>",
            }
        )
    return {"data": traces, "layout": layout}


def rate_figure(rows: Sequence[Mapping[str, str]]) -> Figure:
    """Learning rate, the phases named above their spans."""
    layout = _layout(rows, "learning rate")
    layout["yaxis"] |= {"rangemode": "tozero", "exponentformat": "power"}
    layout["showlegend"] = False
    layout["annotations"] = [
        {
            "x": (span.start + span.end) / 2,
            "y": 1,
            "xref": "x",
            "yref": "paper",
            "yanchor": "bottom",
            "text": PHASE_NAMES.get(span.phase, span.phase),
            "showarrow": False,
            "font": {"size": 12},
        }
        for span in phase_spans(rows)
    ]
    return {"data": [_line(rows, "lr", "learning rate", VALIDATION)], "layout": layout}


def case_figure(scores: Scores) -> Figure:
    """Dice of every case, one box per class with its cases beside it."""
    traces = []
    for name, colour in class_colours(list(scores.classes)).items():
        counted = {case: classes[name].dice for case, classes in scores.cases.items() if classes[name].counts}
        traces.append(
            {
                "type": "box",
                "y": list(counted.values()),
                "text": list(counted),
                "name": name,
                "boxpoints": "all",
                "jitter": 0.5,
                "pointpos": 0,
                "line": {"color": colour, "width": 1.4},
                "fillcolor": "rgba(0,0,0,0)",
                "marker": {"size": 5, "opacity": 0.6, "color": colour},
                "hovertemplate": "%{text}: %{y:.3f}<extra></extra>",
                "hoveron": "points",
            }
        )
    layout = {"yaxis": {"title": {"text": "Dice"}}, "xaxis": {"type": "category"}, "showlegend": False, "shapes": []}
    return {"data": traces, "layout": layout}


def _highest(rows: Sequence[Mapping[str, str]]) -> tuple[float, float] | None:
    values = zip(column(rows, MEAN_DICE), rows, strict=True)
    known = [(value, float(row["epoch"])) for value, row in values if value is not None]
    if not known:
        return None
    value, epoch = max(known, key=lambda pair: pair[0])
    return epoch, value


def _line(rows: Sequence[Mapping[str, str]], name: str, title: str, colour: str, width: float = 2.0) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(rows) <= _FEW_POINTS else "lines",
        "x": [float(row["epoch"]) for row in rows],
        "y": column(rows, name),
        "name": title,
        "connectgaps": True,
        "line": {"color": colour, "width": width},
        "marker": {"size": 5, "color": colour},
        "hovertemplate": "%{y:.4g}",
    }


def _layout(rows: Sequence[Mapping[str, str]], title: str) -> dict[str, Any]:
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
        "xaxis": {"title": {"text": "epoch"}, "rangemode": "tozero", **ends},
        "yaxis": {"title": {"text": title}},
        "hovermode": "x unified",
        "shapes": shapes,
    }


def _number(text: str | None) -> float | None:
    if not text:
        return None
    value = float(text)
    return value if math.isfinite(value) else None
