"""The state machine that decides when to stop."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from goodfit.training.controller import (
    ControllerSettings,
    ControllerState,
    Event,
    Observation,
    after_epoch,
    next_boundary,
    planned_cooldown_start,
)

PLAIN = ControllerSettings(
    epochs=60,
    steps_per_epoch=10,
    warmup_steps=20,
    cooldown=0.2,
    patience=5,
    min_delta=0.001,
    monitor="val_dice",
    larger_is_better=True,
    smoothing=0.0,
)


def run(
    control: ControllerSettings, metrics: list[float | None], seconds: float | None = None
) -> tuple[list[ControllerState], list[Event]]:
    """Feed metrics epoch by epoch (the last one again when they run out) until the run is done."""
    state, states, events = ControllerState(), [], []
    while state.phase != "done":
        step = next_boundary(control, state)
        assert step > state.step, "an epoch has at least one step"
        state = replace(state, step=step, epoch=state.epoch + 1)
        left = None if seconds is None else seconds - step
        metric = metrics[min(state.epoch, len(metrics)) - 1]
        state, new = after_epoch(control, state, Observation(metric, left, None if seconds is None else 1.0))
        states.append(state)
        events += new
        assert len(states) <= 10 * control.epochs, "the run does not end"
    return states, events


def test_a_plateau_begins_the_cooldown_after_exactly_patience_epochs() -> None:
    states, events = run(PLAIN, [0.1, 0.2, 0.3, 0.4, 0.5, 0.5])
    cooldown = states[-1].cooldown
    assert cooldown is not None
    assert cooldown.start == 100, "best at epoch 5, five epochs of patience"
    assert cooldown.steps == 20, "a fifth of the steps so far"
    assert states[-1].step == 120
    assert [event.phase for event in events] == ["stable", "cooldown", "done"]
    assert "val_dice 0.5000 has not improved by 0.001 for 5 epochs (best 0.5000 at 5)" in events[1].reason


def test_an_improvement_resets_the_patience() -> None:
    flat_then_better = [0.5] * 5 + [0.6] * 5 + [0.7]
    states, _ = run(PLAIN, flat_then_better)
    assert states[-1].best_epoch == 11
    assert states[-1].cooldown is not None
    assert states[-1].cooldown.start == 160


def test_the_budget_includes_its_cooldown() -> None:
    rising = [0.01 * epoch for epoch in range(1, 100)]
    states, events = run(PLAIN, rising)
    assert states[-1].step == PLAIN.total_steps == 600
    assert planned_cooldown_start(PLAIN) == 500
    assert states[-1].cooldown is not None
    assert states[-1].cooldown.start == 500
    assert "budget of 60 epochs" in events[1].reason


def test_the_time_left_begins_the_cooldown_early_enough() -> None:
    rising = [0.01 * epoch for epoch in range(1, 100)]
    states, events = run(PLAIN, rising, seconds=240)
    assert 190 <= states[-1].step <= 240
    assert "time left" in events[1].reason
    cooldown = states[-1].cooldown
    assert cooldown is not None
    assert cooldown.steps >= 0.2 * cooldown.start - 1


def test_stop_request_begins_the_cooldown_at_once() -> None:
    state = replace(ControllerState(phase="stable"), step=100, epoch=10)
    state, events = after_epoch(PLAIN, state, Observation(0.5, stop_requested=True))
    assert state.phase == "cooldown"
    assert state.cooldown is not None
    assert state.cooldown.steps == 20
    assert "user asked" in events[0].reason


def test_poly_runs_to_the_last_step_without_a_cooldown() -> None:
    control = replace(PLAIN, cooldown=0.0, patience=None)
    states, events = run(control, [0.5])
    assert states[-1].step == 600
    assert states[-1].cooldown is None
    assert [event.phase for event in events] == ["stable", "done"]


def test_a_falling_metric_is_watched_the_other_way_round() -> None:
    control = replace(PLAIN, larger_is_better=False, monitor="val_loss")
    states, _ = run(control, [1.0, 0.9, 0.8, 0.8])
    assert states[-1].best_epoch == 3


def test_state_survives_json() -> None:
    states, _ = run(PLAIN, [0.5])
    assert ControllerState.from_dict(states[-1].to_dict()) == states[-1]
    assert ControllerState.from_dict(states[0].to_dict()) == states[0]


metric_values = st.one_of(st.none(), st.just(math.nan), st.floats(0, 1))


@settings(max_examples=200)
@given(
    st.lists(metric_values, min_size=1, max_size=80),
    st.integers(1, 40),
    st.integers(1, 30),
    st.floats(0, 1.5),
    st.one_of(st.none(), st.integers(1, 10)),
    st.one_of(st.none(), st.integers(1, 2000)),
)
def test_any_run_ends_within_its_budget_and_never_interrupts_a_cooldown(
    metrics: list[float | None],
    epochs: int,
    steps: int,
    cooldown: float,
    patience: int | None,
    seconds: float | None,
) -> None:
    control = replace(PLAIN, epochs=epochs, steps_per_epoch=steps, cooldown=cooldown, patience=patience)
    states, _ = run(control, metrics, seconds)
    assert states[-1].step <= control.total_steps
    for before, after in itertools.pairwise(states):
        if before.cooldown is not None:
            assert after.cooldown == before.cooldown
    if states[-1].cooldown is not None:
        assert states[-1].step == states[-1].cooldown.end


@settings(max_examples=100)
@given(st.lists(metric_values, min_size=1, max_size=60), st.integers(0, 40))
def test_a_resumed_state_decides_the_same(metrics: list[float | None], cut: int) -> None:
    states, _ = run(PLAIN, metrics)
    cut = min(cut, len(states) - 1)
    state = ControllerState.from_dict(states[cut].to_dict())
    for expected in states[cut + 1 :]:
        state = replace(state, step=next_boundary(PLAIN, state), epoch=state.epoch + 1)
        metric = metrics[min(state.epoch, len(metrics)) - 1]
        state, _ = after_epoch(PLAIN, state, Observation(metric))
        assert state == expected
