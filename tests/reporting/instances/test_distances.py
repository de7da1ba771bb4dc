from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from goodfit.reporting.instances.distances import MOST_POINTS, distances_of_test_frames, over_time, thinned
from goodfit.tasks.instances.scores import load_instance_scores
from goodfit.tasks.instances.video_prediction.unusual import TimeRange

if TYPE_CHECKING:
    from pathlib import Path

    from goodfit.tasks.instances.scores import InstanceScores


@given(
    hnp.arrays(np.float64, st.integers(1, 300), elements=st.floats(0, 100) | st.just(math.nan)),
    st.integers(1, 50),
)
def test_the_largest_value_of_every_run_is_kept(values: np.ndarray, most: int) -> None:
    places = thinned(values, most)
    assert len(places) <= max(most, len(values) if len(values) <= most else 0)
    assert (np.diff(places) > 0).all()
    if np.isfinite(values).any():
        assert np.nanmax(values[places]) == np.nanmax(values)


def test_a_long_curve_keeps_its_peaks() -> None:
    values = np.ones(50_000)
    values[[17, 33_333]] = 9
    drawn = over_time(np.arange(50_000) / 25, values, title="distance", axis="seconds")["data"][0]
    assert len(drawn["x"]) == MOST_POINTS
    assert sum(value == 9 for value in drawn["y"]) == 2


def test_threshold_and_stretches_are_drawn_and_lie_within_the_axes() -> None:
    figure = over_time(
        np.arange(4.0),
        np.array([1, 2, math.nan, 1]),
        title="distance",
        axis="seconds",
        threshold=5.0,
        stretches=[TimeRange(1.0, 2.0, 1, 1, 1)],
    )
    shaded, dashed = figure["layout"]["shapes"]
    assert (shaded["x0"], shaded["x1"]) == (1.0, 2.0)
    assert dashed["y0"] == dashed["y1"] == 5.0
    assert figure["layout"]["yaxis"]["range"][1] > 5
    assert figure["data"][0]["y"] == [1, 2, None, 1]


@pytest.fixture
def instance_scores(instance_run: Path) -> InstanceScores:
    return load_instance_scores(instance_run / "scores.json")


def scores_with(instance_scores, distances):
    frames = [
        frame.model_copy(update={"distance": distance})
        for frame, distance in zip(instance_scores.per_frame, distances, strict=False)
    ]
    return instance_scores.model_copy(update={"per_frame": frames, "unusual_from": 3.0})


def test_test_frames_have_a_line_for_each_video(instance_scores) -> None:
    count = len(instance_scores.per_frame)
    assert distances_of_test_frames(scores_with(instance_scores, [math.nan] * count)) is None
    figure = distances_of_test_frames(scores_with(instance_scores, [1.0 + place for place in range(count)]))
    assert figure is not None
    groups = {frame.group for frame in instance_scores.per_frame}
    assert [trace["name"] for trace in figure["data"]] == sorted(groups)
    assert all(trace["x"] == sorted(trace["x"]) for trace in figure["data"])
    assert figure["layout"]["shapes"][0]["y0"] == 3.0


def test_frames_of_no_video_are_ranked(instance_scores) -> None:
    scores = scores_with(instance_scores, [1.0 + place for place in range(len(instance_scores.per_frame))])
    alone = [frame.model_copy(update={"group": frame.name}) for frame in scores.per_frame]
    figure = distances_of_test_frames(scores.model_copy(update={"per_frame": alone}))
    assert figure is not None
    (trace,) = figure["data"]
    assert trace["y"] == sorted(trace["y"], reverse=True)
    assert trace["text"][0] == alone[-1].name
