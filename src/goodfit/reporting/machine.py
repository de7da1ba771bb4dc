"""The plots of the machine while it trained: how busy it was, how full its memory, how fast it went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from goodfit.reporting.colours import class_colours
from goodfit.reporting.plotting import has_values, layout, line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.reporting.plotting import Figure

_PER_GIB = 1 / 2**30


@dataclass(frozen=True)
class Panel:
    """A plot with the columns of metrics.csv that belong in it.

    Attributes:
        name: of the figure.
        title: its heading.
        note: what is measured.
        unit: title of the y axis.
        columns: column -> name in the legend.
        factor: column -> what its values are multiplied by to be in ``unit``, where that is not 1.
    """

    name: str
    title: str
    note: str
    unit: str
    columns: Mapping[str, str]
    factor: Mapping[str, float]


PANELS = (
    Panel(
        "machine-use",
        "Load",
        "A loader that training waits for leaves the processor that computes without work.",
        "%",
        {"cpu_percent": "CPU", "gpu_percent": "GPU", "data_wait_share": "time spent waiting for data"},
        {"data_wait_share": 100.0},
    ),
    Panel(
        "machine-memory",
        "Memory",
        "Resident memory with all loader workers; the peak of the GPU includes the steps between two rows.",
        "GiB",
        {"memory_bytes": "memory", "gpu_memory_bytes": "GPU memory", "gpu_memory_peak_bytes": "GPU memory, peak"},
        dict.fromkeys(("memory_bytes", "gpu_memory_bytes", "gpu_memory_peak_bytes"), _PER_GIB),
    ),
    Panel(
        "machine-speed",
        "Speed",
        "Samples that the network learned from, validation left out.",
        "samples per second",
        {"samples_per_second": "samples per second"},
        {},
    ),
)


def panels(rows: Sequence[Mapping[str, str]]) -> list[Panel]:
    """Choose the plots that have anything to show."""
    return [panel for panel in PANELS if any(has_values(rows, name) for name in panel.columns)]


def machine_figure(rows: Sequence[Mapping[str, str]], panel: Panel) -> Figure:
    """Draw the columns of a panel that hold values."""
    traces = [
        line(rows, name, panel.columns[name], colour, factor=panel.factor.get(name, 1.0))
        for name, colour in class_colours(list(panel.columns)).items()
        if has_values(rows, name)
    ]
    drawn = layout(rows, panel.unit)
    drawn["yaxis"]["rangemode"] = "tozero"
    drawn["showlegend"] = len(panel.columns) > 1
    return {"data": traces, "layout": drawn}
