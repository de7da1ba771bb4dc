"""The plots of how far frames are from the training frames: over the time of a video, and of the test frames."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from goodfit.reporting.plotting import Figure
    from goodfit.tasks.instances.scores import InstanceScores
    from goodfit.tasks.instances.video_prediction.unusual import TimeRange

MOST_POINTS = 4000
"""Of a curve; of more, neighbours are joined into one point, their largest value."""
_LINE, _THRESHOLD, _UNUSUAL = "#3d7fd9", "#d94f70", "rgba(217,79,112,0.16)"
_MOST_NAMED = 12  # more videos than these get no legend entry


def over_time(
    times: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    *,
    title: str,
    axis: str,
    threshold: float | None = None,
    stretches: Sequence[TimeRange] = (),
    names: Sequence[str] = (),
) -> Figure:
    """Draw values over the time of a video.

    Args:
        times: (N,) in seconds, or places.
        values: (N,), NaN where there are none.
        title: of the values' axis.
        axis: title of the time axis.
        threshold: a dashed line.
        stretches: of time that are shaded.
        names: of the points, shown at the pointer.
    """
    places = thinned(values, MOST_POINTS)
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines" if len(places) > 1 else "markers",
        "x": [round(float(time), 4) for time in times[places]],
        "y": [_known(value) for value in values[places]],
        "line": {"color": _LINE, "width": 1.5},
        "showlegend": False,
        "hovertemplate": "%{y:.4g}<extra></extra>",
    }
    if names:
        trace |= {
            "text": [names[int(place)] for place in places],
            "hovertemplate": "%{text}: %{y:.4g}<extra></extra>",
        }
    shaded = [
        {
            "type": "rect",
            "xref": "x",
            "yref": "paper",
            "x0": one.start,
            "x1": one.end,
            "y0": 0,
            "y1": 1,
            "fillcolor": _UNUSUAL,
            "line": {"width": 0},
            "layer": "below",
        }
        for one in stretches
    ]
    return {
        "data": [trace],
        "layout": {
            "xaxis": {"title": {"text": axis}},
            "yaxis": {"title": {"text": title}, "range": [0, _top(values, threshold)]},
            "hovermode": "x unified" if not names else "closest",
            "shapes": [*shaded, *_dashed(threshold)],
        },
    }


def thinned(values: npt.NDArray[np.float64], most: int) -> npt.NDArray[np.int64]:
    """Choose places of at most ``most`` values, of each run of neighbours the largest; all where there are few."""
    if len(values) <= most:
        return np.arange(len(values))
    filled = np.where(np.isnan(values), -math.inf, values)
    edges = np.linspace(0, len(values), most + 1).astype(int)
    runs = pairwise(edges.tolist())
    return np.array([start + int(np.argmax(filled[start:end])) for start, end in runs], dtype=np.int64)


def distances_of_test_frames(scores: InstanceScores) -> Figure | None:
    """Draw the distances of the test frames, a line for each video over its frames; None where none was measured."""
    groups: dict[str, list[tuple[int, float]]] = {}
    for frame in scores.per_frame:
        if not math.isnan(frame.distance):
            groups.setdefault(frame.group, []).append((frame.number, frame.distance))
    if not groups:
        return None
    threshold = _known(scores.unusual_from)
    measured = np.array([distance for frames in groups.values() for _, distance in frames])
    if all(len(frames) == 1 for frames in groups.values()):
        # Frames of no video: side by side, the most distant first.
        ranked = sorted(((values[0][1], name) for name, values in groups.items()), reverse=True)
        distances = np.array([distance for distance, _ in ranked])
        places = np.arange(1, len(ranked) + 1).astype(np.float64)
        names = [name for _, name in ranked]
        return over_time(
            places,
            distances,
            title="distance",
            axis="frames, the most distant first",
            threshold=threshold,
            names=names,
        )
    traces = []
    for name, frames in sorted(groups.items()):
        ordered = sorted(frames)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines" if len(ordered) > 1 else "markers",
                "x": [number for number, _ in ordered],
                "y": [round(distance, 4) for _, distance in ordered],
                "name": name,
                "showlegend": len(groups) <= _MOST_NAMED,
                "line": {"width": 1.5},
                "hovertemplate": "%{y:.4g}",
            }
        )
    return {
        "data": traces,
        "layout": {
            "xaxis": {"title": {"text": "frame of the video"}},
            "yaxis": {"title": {"text": "distance"}, "range": [0, _top(measured, threshold)]},
            "hovermode": "closest",
            "shapes": _dashed(threshold),
        },
    }


def _top(values: npt.NDArray[np.float64], threshold: float | None) -> float:
    """Upper end of the axis: above the values and the threshold, which plotly does not look at."""
    known = [*values[np.isfinite(values)].tolist(), *([] if threshold is None else [threshold])]
    return float(round(1.06 * max([*known, 1e-6]), 4))


def _dashed(threshold: float | None) -> list[dict[str, Any]]:
    if threshold is None:
        return []
    line = {"color": _THRESHOLD, "width": 1.5, "dash": "dash"}
    return [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": threshold, "y1": threshold, "line": line}]


def _known(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None
