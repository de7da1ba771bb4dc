from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.training.fit.series import MOST_VALUES, Series


def series(values, first_step=1):
    built = Series.of(tuple(range(first_step, first_step + len(values))), tuple(values))
    assert built is not None
    return built


def test_missing_values_are_left_out():
    built = Series.of((1, 2, 3, 4), (math.nan, 5.0, math.inf, 4.0))
    assert built is not None
    assert (built.steps, built.values) == ((2, 4), (5.0, 4.0))
    assert Series.of((1, 2), (math.nan, 1e40)) is None
    assert Series.of((), ()) is None


def test_a_spike_leaves_the_level_alone():
    built = series([3, 3, 3, 90, 3, 3, 3])
    assert set(built.smooth) == {3}
    assert (built.best, built.now, built.first, built.head) == (3, 3, 3, 3)


def test_head_keeps_a_steep_start():
    built = series([9.0, 1.0, 0.5, 0.4, 0.3, 0.2])
    assert (built.first, built.head) == (9.0, 9.0)


@pytest.mark.parametrize("deviation", [0.01, 1.0, 30.0])
def test_noise_is_that_of_the_values_and_not_of_their_course(deviation):
    random = np.random.default_rng(3)
    noise = random.normal(0, deviation, 600)
    course = 100 * deviation * np.exp(-np.arange(600) / 150)
    assert series(noise).noise == pytest.approx(deviation, rel=0.1)
    assert series(noise + course).noise == pytest.approx(deviation, rel=0.1)
    assert series(course).noise == 0


def test_levels_at_steps():
    built = Series.of((10, 20, 30, 40), (4.0, 3.0, 2.0, 2.0))
    assert built is not None
    assert [built.at(step) for step in (1, 10, 25, 99)] == [built.smooth[0], built.smooth[0], built.smooth[1], 2.0]
    assert built.first_below(2.0) == 30
    assert built.last_below(3.0) == 40
    assert built.tail(0.5, 1) == 2.0


def test_a_rise_must_last():
    assert series([3, 1, 1, 1, 5, 1]).stays_above(2, 3) is False
    assert series([3, 1, 1, 1, 5, 5, 5, 5, 5]).stays_above(2, 3) is True
    assert series([5, 5, 5]).stays_above(2, 3) is False


def test_trend_is_the_slope_of_the_end_and_survives_a_spike():
    line = series([*[9.0] * 40, *np.arange(10.0, 20.0)]).trend(0.2, 5)
    assert (line.slope, line.change, line.first, line.last) == (1.0, 9.0, 41, 50)
    spiky = np.arange(50.0)
    spiky[45] = -1000
    assert series(spiky).trend(0.2, 5).slope == pytest.approx(1)
    assert series([7.0]).trend(0.2, 5).change == 0


def test_error_of_a_trend_matches_what_noise_does():
    random = np.random.default_rng(1)
    lines = [series(random.normal(size=100)).trend(0.2, 5) for _ in range(300)]
    beyond = [abs(line.change) > 2 * line.error for line in lines]
    assert 0.01 < np.mean(beyond) < 0.1


def test_long_series_are_joined():
    built = series(list(np.linspace(1, 0, 5 * MOST_VALUES)))
    assert len(built.values) == MOST_VALUES
    assert (built.first, built.steps[-1]) == (1.0, 5 * MOST_VALUES)


@given(
    values=st.lists(st.integers(-4096, 4096), min_size=1, max_size=40),
    shift=st.integers(-64, 64),
    factor=st.sampled_from([0.25, 1.0, 8.0]),
)
def test_readings_follow_shift_and_scale(values, shift, factor):
    plain = [value / 1024 for value in values]
    one, other = series(plain), series([factor * (value + shift) for value in plain])
    assert other.best == factor * (one.best + shift)
    assert other.now == factor * (one.now + shift)
    assert other.noise == factor * one.noise
    assert other.trend(0.2, 5).slope == factor * one.trend(0.2, 5).slope
