"""The plots of how a run learned, and of its scores, as plotly figures in plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from goodfit.reporting.colours import MARK, TRAINING, VALIDATION, class_colours
from goodfit.reporting.plotting import PHASE_NAMES, Axis, column, has_values, layout, line, phase_spans

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.reporting.plotting import Figure
    from goodfit.tasks.segmentation.scores import Scores
    from goodfit.training.fit.verdict import Verdict

MEAN_DICE = "val_dice"
_VALIDATION_PART, _TRAINING_PART = "val_loss_", "train_loss_"
_NAMED_CLASSES = 10  # more than these get no legend entry


def loss_figure(rows: Sequence[Mapping[str, str]], verdict: Verdict | None = None) -> Figure:
    """Training and validation loss on one axis, and where the verdict's epoch is.

    Runs that measured the training loss like the validation loss show both, and the running training loss thin
    beside them; older runs have the running one only.
    """
    if has_values(rows, "train_eval_loss"):
        traces = [
            line(rows, "train_loss", "training, while learning", TRAINING, width=0.8),
            line(rows, "train_eval_loss", "training", TRAINING, width=2.4),
        ]
    else:
        traces = [line(rows, "train_loss", "training", TRAINING)]
    traces.append(line(rows, "val_loss", "validation", VALIDATION, width=2.4))
    drawn = layout(rows, "loss")
    if verdict is not None and verdict.since_epoch is not None and rows:
        _mark(drawn, Axis.of(rows), verdict.since_epoch, f"{verdict.kind} since epoch {verdict.since_epoch}")
    return {"data": traces, "layout": drawn}


def loss_parts(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Name the parts of the validation loss that have values."""
    names = [
        name.removeprefix(_VALIDATION_PART) for name in (rows[0] if rows else {}) if name.startswith(_VALIDATION_PART)
    ]
    return [name for name in names if has_values(rows, _VALIDATION_PART + name)]


def parts_figure(rows: Sequence[Mapping[str, str]]) -> Figure:
    """The parts of the validation loss; those of the running training loss thin and dotted in the same colours."""
    traces = []
    for name, colour in class_colours(loss_parts(rows)).items():
        traces.append(line(rows, _VALIDATION_PART + name, name, colour, width=2.4))
        if has_values(rows, _TRAINING_PART + name):
            beside = line(rows, _TRAINING_PART + name, f"{name}, while learning", colour, width=0.9, dash="dot")
            traces.append({**beside, "mode": "lines"})
    return {"data": traces, "layout": layout(rows, "parts of the loss")}


def dice_figure(rows: Sequence[Mapping[str, str]]) -> Figure:
    """Validation Dice of each class and their mean, the highest mean marked."""
    return metric_figure(rows, MEAN_DICE, "Dice")


def metric_figure(
    rows: Sequence[Mapping[str, str]], mean: str, title: str, beside: Mapping[str, str] | None = None
) -> Figure:
    """A validation metric of each class and its mean, the highest mean marked.

    Args:
        rows: rows of metrics.csv.
        mean: column of the mean; those of classes begin with its name and an underscore.
        title: of the y axis.
        beside: further columns with their names, dotted.
    """
    prefix = f"{mean}_"
    names = [name.removeprefix(prefix) for name in (rows[0] if rows else {}) if name.startswith(prefix)]
    traces = []
    for name, colour in class_colours(names).items():
        trace = line(rows, prefix + name, name, colour, width=1.4)
        traces.append({**trace, "showlegend": len(names) <= _NAMED_CLASSES})
    for name, words in (beside or {}).items():
        if has_values(rows, name):
            traces.append(line(rows, name, words, TRAINING, width=1.4, dash="dot"))
    traces.append(line(rows, mean, "mean", VALIDATION, width=2.8))
    drawn = layout(rows, title)
    highest = _highest(rows, mean)
    if highest is not None:
        place, value = highest
        traces.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "x": [place],
                "y": [value],
                "name": "highest mean",
                "text": [f"{value:.3f}"],
                "textposition": "bottom left" if place > Axis.of(rows).x[-1] / 2 else "bottom right",
                "cliponaxis": False,
                "showlegend": False,
                "marker": {"symbol": "star", "size": 13, "color": VALIDATION},
                "hovertemplate": f"highest mean {value:.4f}<extra></extra>",
            }
        )
    return {"data": traces, "layout": drawn}


def rate_figure(rows: Sequence[Mapping[str, str]]) -> Figure:
    """Learning rate, the phases named above their spans."""
    drawn = layout(rows, "learning rate")
    drawn["yaxis"] |= {"rangemode": "tozero", "exponentformat": "power"}
    drawn["showlegend"] = False
    drawn["annotations"] = [
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
    return {"data": [line(rows, "lr", "learning rate", VALIDATION)], "layout": drawn}


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
    drawn = {"yaxis": {"title": {"text": "Dice"}}, "xaxis": {"type": "category"}, "showlegend": False, "shapes": []}
    return {"data": traces, "layout": drawn}


def _highest(rows: Sequence[Mapping[str, str]], mean: str) -> tuple[float, float] | None:
    values = zip(column(rows, mean), Axis.of(rows).x, strict=True)
    known = [(value, place) for value, place in values if value is not None]
    if not known:
        return None
    value, place = max(known, key=lambda pair: pair[0])
    return place, value


def _mark(drawn: dict[str, Any], axis: Axis, epoch: int, text: str) -> None:
    """Draw a vertical line at an epoch, with its meaning written beside it."""
    place = axis.at_epoch(epoch)
    early = place - axis.start < (axis.x[-1] - axis.start) / 2
    drawn["shapes"].append(
        {
            "type": "line",
            "xref": "x",
            "yref": "paper",
            "x0": place,
            "x1": place,
            "y0": 0,
            "y1": 1,
            "line": {"color": MARK, "width": 1.6, "dash": "dash"},
        }
    )
    drawn["annotations"] = [
        {
            "x": place,
            "y": 0.98,
            "xref": "x",
            "yref": "paper",
            "xanchor": "left" if early else "right",
            "yanchor": "top",
            "xshift": 6 if early else -6,
            "text": text,
            "showarrow": False,
            "font": {"size": 12, "color": MARK},
        }
    ]
