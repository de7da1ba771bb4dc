from __future__ import annotations

import json

import plotly.graph_objects as go
import pytest

from goodfit.data.labels import Labels
from goodfit.reporting.curves import (
    Span,
    case_figure,
    column,
    dice_figure,
    loss_figure,
    phase_spans,
    rate_figure,
)
from goodfit.tasks.segmentation.metrics import ClassMetrics
from goodfit.tasks.segmentation.scores import gather


def row(epoch, phase, dice="", **more):
    cells = {"epoch": epoch, "step": 10 * epoch, "phase": phase, "lr": 0.001, "train_loss": 0.5, "val_loss": 0.4}
    cells |= {"val_dice": dice, "val_dice_organ": dice, "val_dice_lesion": dice, **more}
    return {name: str(value) for name, value in cells.items()}


ROWS = [row(1, "warmup", 0.2), row(2, "stable"), row(3, "stable", 0.8), row(4, "cooldown", 0.7)]


def test_empty_and_undefined_cells_are_missing():
    assert column(ROWS, "val_dice") == [0.2, None, 0.8, 0.7]
    assert column([row(1, "stable", "nan"), row(2, "stable", "inf")], "val_dice") == [None, None]
    assert column(ROWS, "no such column") == [None] * 4


def test_spans_join_and_touch():
    assert phase_spans(ROWS) == [Span("warmup", 0, 1), Span("stable", 1, 3), Span("cooldown", 3, 4)]
    assert phase_spans([]) == []


@pytest.mark.parametrize("figure", [loss_figure, dice_figure, rate_figure])
@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], []], ids=["run", "one epoch", "none"])
def test_figures_are_valid_plotly(figure, rows):
    built = go.Figure(figure(rows))
    json.dumps(figure(rows), allow_nan=False)
    assert len(built.layout.shapes) == len(phase_spans(rows))


def test_both_losses_share_an_axis():
    figure = go.Figure(loss_figure(ROWS))
    assert [trace.name for trace in figure.data] == ["training", "validation"]
    assert {trace.yaxis for trace in figure.data} == {None}
    assert list(figure.data[0].y) == [0.5] * 4


def test_dice_has_classes_mean_and_the_highest():
    figure = go.Figure(dice_figure(ROWS))
    assert [trace.name for trace in figure.data] == ["organ", "lesion", "mean", "highest mean"]
    assert (figure.data[-1].x[0], figure.data[-1].y[0]) == (3, 0.8)


def test_many_classes_are_left_out_of_the_legend():
    many = {f"val_dice_{index}": 0.5 for index in range(20)}
    figure = go.Figure(dice_figure([row(1, "stable", 0.5, **many)]))
    assert [trace.name for trace in figure.data if trace.showlegend is not False] == ["mean"]


def test_phases_are_named_over_the_learning_rate():
    figure = go.Figure(rate_figure(ROWS))
    assert [note.text for note in figure.layout.annotations] == ["warm-up", "stable", "cooldown"]


def test_case_figure_leaves_out_cases_that_do_not_count():
    def one(dice, volume):
        return ClassMetrics(
            dice=dice,
            iou=dice,
            hd95=1,
            surface_dice=1,
            reference_volume=volume,
            prediction_volume=volume,
            volume_difference=0,
        )

    labels = Labels({"organ": (1,), "lesion": (2,)})
    cases = {
        "a": {"organ": one(0.9, 1.0), "lesion": one(None, 0.0)},
        "b": {"organ": one(0.8, 1.0), "lesion": one(0.5, 1.0)},
    }
    scores = gather(
        cases,
        labels.names,
        set_name="test",
        optimistic=False,
        tolerance=1.0,
        distance_unit="mm",
        volume_unit="ml",
        spacing_known=True,
    )
    organ, lesion = go.Figure(case_figure(scores)).data
    assert list(organ.y) == [0.9, 0.8]
    assert list(lesion.text) == ["b"]
    json.dumps(case_figure(scores), allow_nan=False)
