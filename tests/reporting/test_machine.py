from __future__ import annotations

import json

import plotly.graph_objects as go

from goodfit.reporting.machine import PANELS, machine_figure, panels


def rows(**columns):
    return [
        {"epoch": str(at + 1), "step": str(10 * (at + 1)), "phase": "stable"}
        | {name: str(values[at]) for name, values in columns.items()}
        for at in range(2)
    ]


def test_only_what_was_measured_is_drawn():
    made = rows(cpu_percent=[80, 90], gpu_percent=["", ""], data_wait_share=[0.25, 0.5], gpu_memory_bytes=["", ""])
    assert [panel.name for panel in panels(made)] == ["machine-use"]
    figure = go.Figure(machine_figure(made, PANELS[0]))
    assert {trace.name: list(trace.y) for trace in figure.data} == {
        "CPU": [80, 90],
        "time spent waiting for data": [25, 50],
    }


def test_memory_is_in_gib():
    made = rows(memory_bytes=[2**30, 3 * 2**29], gpu_memory_peak_bytes=[2**31, ""])
    (panel,) = panels(made)
    figure = go.Figure(machine_figure(made, panel))
    assert figure.layout.yaxis.title.text == "GiB"
    assert [list(trace.y) for trace in figure.data] == [[1, 1.5], [2, None]]
    json.dumps(machine_figure(made, panel), allow_nan=False)


def test_a_colour_belongs_to_a_column():
    alone = machine_figure(rows(gpu_percent=[1, 2]), PANELS[0])["data"][0]
    beside = machine_figure(rows(cpu_percent=[1, 2], gpu_percent=[1, 2]), PANELS[0])["data"][1]
    assert alone["line"]["color"] == beside["line"]["color"]


def test_older_runs_have_no_panel():
    assert panels(rows(val_loss=[1, 2])) == []
    assert panels([]) == []
