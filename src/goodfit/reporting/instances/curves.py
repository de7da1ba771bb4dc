"""The plots of average precision: while training, against recall, and of what was taken for what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.reporting.colours import class_colours
from goodfit.reporting.curves import metric_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.reporting.plotting import Figure
    from goodfit.tasks.instances.scores import Confusion, InstanceScores

MEAN_AP = "val_ap"
_BESIDE = {"val_ap50": "AP50", "val_box_ap": "AP of boxes"}
_NAMED_CATEGORIES = 10  # more than these get no legend entry
_WRITTEN_CATEGORIES = 12  # more than these get no numbers in the cells of the confusion matrix
_RECALLS = [round(at / 100, 2) for at in range(101)]
_CELL, _MARGIN = (90, 40), (220, 120)


def ap_figure(rows: Sequence[Mapping[str, str]]) -> Figure:
    """Validation AP of each category and their mean, the highest mean marked; AP50 and that of boxes beside it."""
    return metric_figure(rows, MEAN_AP, "AP", _BESIDE)


def precision_recall_figure(scores: InstanceScores, iou: float) -> Figure:
    """Precision against recall of each category at one overlap; the score that leads there is shown at the pointer."""
    colours = class_colours(list(scores.numbers.categories))
    traces = []
    for curve in scores.curves:
        if curve.iou != iou:
            continue
        reached = sum(precision > 0 for precision in curve.precision)  # 0 is written beyond the largest recall
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": _RECALLS[:reached],
                "y": curve.precision[:reached],
                "customdata": curve.scores[:reached],
                "name": curve.category,
                "showlegend": len(colours) <= _NAMED_CATEGORIES,
                "line": {"color": colours[curve.category], "width": 2},
                "hovertemplate": "recall %{x:.2f}, precision %{y:.3f}, score %{customdata:.3f}",
            }
        )
    drawn = {
        "xaxis": {"title": {"text": "recall"}, "range": [0, 1.01]},
        "yaxis": {"title": {"text": "precision"}, "range": [0, 1.03]},
        "hovermode": "closest",
    }
    return {"data": traces, "layout": drawn}


def confusion_figure(confusion: Confusion) -> Figure:
    """A cell for each true and predicted category, shaded by its share of the row."""
    names = confusion.names
    shares = [[count / max(1, sum(row)) for count in row] for row in confusion.counts]
    written = {"texttemplate": "%{text}"} if len(names) <= _WRITTEN_CATEGORIES + 1 else {}
    true = [*names[:-1], "nothing there"]
    predicted = [*names[:-1], "missed"]
    trace = {
        "type": "heatmap",
        "x": predicted,
        "y": true,
        "z": shares,
        "text": [[str(count) if count else "" for count in row] for row in confusion.counts],
        "zmin": 0,
        "zmax": 1,
        "xgap": 2,
        "ygap": 2,
        "showscale": False,
        # Opaque: plotly chooses the colour of the numbers by that of their cells.
        "colorscale": [[0, "#eef3fb"], [1, "#3d7fd9"]],
        "hovertemplate": "%{y} taken for %{x}: %{text}, %{z:.0%} of the row<extra></extra>",
        **written,
    }
    drawn = {
        "xaxis": {"title": {"text": "taken for"}, "type": "category", "side": "bottom", "showgrid": False},
        "yaxis": {"title": {"text": "object"}, "type": "category", "autorange": "reversed", "showgrid": False},
    }
    return {"data": [trace], "layout": drawn}


def confusion_size(confusion: Confusion) -> tuple[int, int]:
    """Width and height that suit the plot, in pixels; a narrower page shrinks the cells."""
    width, height = (margin + cell * len(confusion.names) for margin, cell in zip(_MARGIN, _CELL, strict=True))
    return width, height
