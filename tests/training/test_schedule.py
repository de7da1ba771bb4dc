"""Learning rates as functions of the step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.training.schedule import Cooldown, cooldown_factor, poly, warmup_factor, wsd


def test_warmup_rises_linearly_to_one() -> None:
    assert [warmup_factor(step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert warmup_factor(0, 0) == 1.0


def test_linear_cooldown_falls_to_zero_just_after_its_last_step() -> None:
    cooldown = Cooldown(start=10, steps=4)
    assert [cooldown_factor(step, cooldown, "linear") for step in range(9, 15)] == [1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    assert cooldown_factor(11, cooldown, "1-sqrt") == pytest.approx(0.5)


def test_poly_is_nnunets() -> None:
    assert poly(0, peak=0.01, total_steps=250_000) == 0.01
    assert poly(125_000, peak=0.01, total_steps=250_000) == pytest.approx(0.01 * 0.5**0.9)
    assert poly(250_000, peak=0.01, total_steps=250_000) == 0.0


def test_a_run_stopped_in_its_warmup_cools_down_from_where_it_was() -> None:
    rates = [wsd(step, peak=1.0, warmup_steps=100, cooldown=Cooldown(10, 5), shape="linear") for step in range(8, 15)]
    assert rates == sorted(rates[:2]) + sorted(rates[2:], reverse=True)
    assert max(rates) == 0.1


@given(
    st.integers(0, 500),
    st.integers(0, 100),
    st.integers(1, 300),
    st.integers(1, 200),
    st.sampled_from(["linear", "1-sqrt"]),
)
def test_rate_stays_between_zero_and_the_peak(step: int, warmup: int, start: int, steps: int, shape: str) -> None:
    rate = wsd(step, peak=0.5, warmup_steps=warmup, cooldown=Cooldown(start, steps), shape=shape)  # type: ignore[arg-type]
    assert 0.0 <= rate <= 0.5
    assert (rate == 0.0) == (step >= start + steps)
