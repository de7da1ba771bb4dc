from __future__ import annotations

import json

import plotly.graph_objects as go
import pytest

from goodfit.data.labels import Labels
from goodfit.reporting.curves import (
    case_figure,
    dice_figure,
    loss_figure,
    loss_parts,
    parts_figure,
    rate_figure,
)
from goodfit.reporting.plotting import phase_spans
from goodfit.tasks.segmentation.metrics import ClassMetrics
from goodfit.tasks.segmentation.scores import gather
from goodfit.training.fit.verdict import Verdict


def row(epoch, phase, dice="", **more):
    cells = {"epoch": epoch, "step": 10 * epoch, "phase": phase, "lr": 0.001, "train_loss": 0.5, "val_loss": 0.4}
    cells |= {"val_dice": dice, "val_dice_organ": dice, "val_dice_lesion": dice, **more}
    return {name: str(value) for name, value in cells.items()}


ROWS = [row(1, "warmup", 0.2), row(2, "stable"), row(3, "stable", 0.8), row(4, "cooldown", 0.7)]


@pytest.mark.parametrize("figure", [loss_figure, parts_figure, dice_figure, rate_figure])
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


def test_the_comparable_training_loss_stands_before_the_running_one():
    figure = go.Figure(loss_figure([{**cells, "train_eval_loss": "0.3"} for cells in ROWS]))
    running, fixed, validation = figure.data
    assert [trace.name for trace in figure.data] == ["training, while learning", "training", "validation"]
    assert list(fixed.y) == [0.3] * 4
    assert fixed.line.width == validation.line.width > 2 * running.line.width


def test_an_empty_column_is_no_curve():
    figure = go.Figure(loss_figure([{**cells, "train_eval_loss": ""} for cells in ROWS]))
    assert [trace.name for trace in figure.data] == ["training", "validation"]


def test_the_epoch_of_the_verdict_is_marked():
    figure = go.Figure(loss_figure(ROWS, Verdict("overfitting", 3, "overfitting since epoch 3: ...")))
    mark = figure.layout.shapes[-1]
    assert (mark.type, mark.x0, mark.x1) == ("line", 3, 3)
    assert [note.text for note in figure.layout.annotations] == ["overfitting since epoch 3"]
    assert len(go.Figure(loss_figure(ROWS, Verdict("good fit", None, ""))).layout.shapes) == 3


def test_mark_within_epochs_stands_at_the_step():
    rows = [{**row(1 + at // 2, "stable"), "step": str(5 * (at + 1))} for at in range(6)]
    figure = go.Figure(loss_figure(rows, Verdict("overfitting", 2, "")))
    assert figure.layout.shapes[-1].x0 == 15


def test_parts_of_the_loss():
    rows = [
        {**cells, "val_loss_dice": "0.3", "train_loss_dice": "0.4", "val_loss_ce": "0.1", "val_loss_z": ""}
        for cells in ROWS
    ]
    assert loss_parts(rows) == ["dice", "ce"]
    figure = go.Figure(parts_figure(rows))
    assert [trace.name for trace in figure.data] == ["dice", "dice, while learning", "ce"]
    assert figure.data[0].line.color == figure.data[1].line.color
    assert loss_parts(ROWS) == loss_parts([]) == []


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
