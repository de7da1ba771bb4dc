from __future__ import annotations

import plotly.graph_objects as go
import pytest

from goodfit.reporting.instances.content import read_instance_content
from goodfit.reporting.instances.curves import (
    ap_figure,
    confusion_figure,
    confusion_size,
    precision_recall_figure,
)
from goodfit.tasks.instances.scores import Confusion


@pytest.fixture
def content(instance_run):
    return read_instance_content(instance_run)


def test_ap_of_categories_and_mean(content):
    figure = go.Figure(ap_figure(content.rows))
    assert [trace.name for trace in figure.data] == ["person", "blanket", "AP50", "mean", "highest mean"]
    assert figure.data[3].y[-1] == figure.data[4].y[0] == pytest.approx(0.6)
    assert ap_figure([])["data"][-1]["y"] == []


def test_precision_falls_to_the_recall_that_is_reached(content):
    figure = go.Figure(precision_recall_figure(content.scores, 0.5))
    assert [trace.name for trace in figure.data] == ["person", "blanket"]
    for trace, curve in zip(figure.data, content.scores.curves[::2], strict=True):
        assert len(trace.x) == len(trace.y) == len(trace.customdata) < 101
        assert (trace.x[0], list(trace.y)) == (0, curve.precision[: len(trace.y)])
        assert min(trace.y) > 0
        assert curve.precision[len(trace.y) :] == [0] * (101 - len(trace.y))
    stricter = precision_recall_figure(content.scores, 0.75)
    assert len(stricter["data"][0]["x"]) < len(figure.data[0].x)


def test_confusion_is_shaded_by_row():
    confusion = Confusion(names=["a", "b", "background"], counts=[[3, 1, 0], [0, 0, 0], [2, 2, 0]], iou=0.5, score=0.5)
    figure = go.Figure(confusion_figure(confusion))
    trace = figure.data[0]
    assert [list(row) for row in trace.z] == [[0.75, 0.25, 0], [0, 0, 0], [0.5, 0.5, 0]]
    assert (list(trace.x), list(trace.y)) == (["a", "b", "missed"], ["a", "b", "nothing there"])
    assert [list(row) for row in trace.text] == [["3", "1", ""], ["", "", ""], ["2", "2", ""]]


def test_many_categories_are_drawn_without_numbers():
    names = [f"c{at}" for at in range(80)]
    big = Confusion(names=[*names, "background"], counts=[[1] * 81] * 81, iou=0.5, score=0.5)
    small = Confusion(names=["a", "background"], counts=[[1, 0], [0, 0]], iou=0.5, score=0.5)
    assert "texttemplate" not in confusion_figure(big)["data"][0]
    assert "texttemplate" in confusion_figure(small)["data"][0]
    assert all(large > little for large, little in zip(confusion_size(big), confusion_size(small), strict=True))
