from __future__ import annotations

import pytest

from goodfit.reporting.plotting import Axis, Span, column, has_values, layout, line, phase_spans


def rows(*places, phases=None, **columns):
    made = []
    for at, (epoch, step) in enumerate(places):
        cells = {"epoch": epoch, "step": step, "phase": phases[at] if phases else "stable"}
        cells |= {name: values[at] for name, values in columns.items()}
        made.append({name: str(value) for name, value in cells.items()})
    return made


EPOCHS = rows((1, 10), (2, 20), (3, 30), (4, 40), phases=["warmup", "stable", "stable", "cooldown"])
WITHIN = rows((1, 4), (1, 8), (1, 10), (2, 14), (2, 18), phases=["warmup", "warmup", "stable", "stable", "stable"])


def test_empty_and_undefined_cells_are_missing():
    made = rows((1, 10), (2, 20), (3, 30), dice=[0.2, "", "nan"])
    assert column(made, "dice") == [0.2, None, None]
    assert column(rows((1, 10), dice=["inf"]), "dice") == [None]
    assert column(made, "no such column") == [None] * 3
    assert has_values(made, "dice")
    assert not has_values(made[1:], "dice")


def test_rows_of_whole_epochs_are_counted_in_epochs():
    axis = Axis.of(EPOCHS)
    assert (axis.title, axis.x, axis.start) == ("epoch", [1, 2, 3, 4], 0)
    assert axis.at_epoch(3) == 3
    assert axis.at_epoch(99) == 4


def test_rows_within_epochs_are_counted_in_steps():
    axis = Axis.of(WITHIN)
    assert (axis.title, axis.x, axis.start) == ("step", [4, 8, 10, 14, 18], 0)
    assert axis.at_epoch(2) == 14


def test_rows_without_steps_stay_with_epochs():
    made = [{name: cell for name, cell in row.items() if name != "step"} for row in WITHIN]
    assert Axis.of(made).title == "epoch"
    assert Axis.of([]).x == []


def test_spans_join_and_touch():
    assert phase_spans(EPOCHS) == [Span("warmup", 0, 1), Span("stable", 1, 3), Span("cooldown", 3, 4)]
    assert phase_spans(WITHIN) == [Span("warmup", 0, 8), Span("stable", 8, 18)]
    assert phase_spans([]) == []


def test_a_line_has_values_times_factor_and_bridges_gaps():
    trace = line(rows((1, 10), (2, 20), a=[3, ""]), "a", "A", "#000", factor=2.0)
    assert (trace["x"], trace["y"], trace["connectgaps"]) == ([1, 2], [6, None], True)
    assert trace["hovertemplate"] == "%{y:.4g}"


def test_steps_tell_their_epoch():
    trace = line(WITHIN, "a", "A", "#000")
    assert trace["customdata"] == [1, 1, 1, 2, 2]
    assert "epoch %{customdata}" in trace["hovertemplate"]


@pytest.mark.parametrize(("made", "title", "end"), [(EPOCHS, "epoch", 4), (WITHIN, "step", 18)])
def test_layout_names_its_axis(made, title, end):
    drawn = layout(made, "loss")
    assert (drawn["xaxis"]["title"]["text"], drawn["xaxis"]["range"]) == (title, [0, end])


def test_many_points_are_not_marked():
    made = rows(*((epoch, 10 * epoch) for epoch in range(1, 101)), a=[1 if at % 10 == 0 else "" for at in range(100)])
    assert line(made, "a", "A", "#000")["mode"] == "lines+markers"
    assert line(made, "epoch", "A", "#000")["mode"] == "lines"
