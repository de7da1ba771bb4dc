"""The state machine that decides when to stop."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodfit.training.controller import (
    Clock,
    ControllerSettings,
    ControllerState,
    Event,
    begin_cooldown,
    decide,
    end_of_epoch,
    is_over,
    observe,
    planned_cooldown_start,
    validation_due,
)
from goodfit.training.schedule import Cooldown

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


Metric = float | None
RISING: list[Metric] = [0.01 * epoch for epoch in range(1, 100)]


class Simulation:
    """A run without weights: every validation gives the next metric (the last one again when they run out)."""

    def __init__(
        self,
        control: ControllerSettings,
        metrics: list[Metric],
        seconds: float | None = None,
        wish_at: int | None = None,
        state: ControllerState | None = None,
        validations: int = 0,
    ) -> None:
        self.control, self.metrics, self.seconds, self.wish_at = control, metrics, seconds, wish_at
        self.state = state or ControllerState()
        self.validations = validations
        self.validated_at: list[int] = []
        self.states: list[ControllerState] = []
        self.events: list[Event] = []

    def step(self) -> None:
        """Do what the loop does in a step and after it."""
        control = self.control
        assert self.state.step < end_of_epoch(control, self.state), "an epoch has at least one step"
        self.state = replace(self.state, step=self.state.step + 1)
        if validation_due(control, self.state):
            metric = self.metrics[min(self.validations, len(self.metrics) - 1)]
            self.validations += 1
            self.validated_at.append(self.state.step)
            self.state = observe(control, self.state, metric)
        if self.state.step == end_of_epoch(control, self.state):
            self.state = replace(self.state, epoch=self.state.epoch + 1)
            clock = None if self.seconds is None else Clock(self.seconds - self.state.step, 1.0)
            self.take(decide(control, self.state, clock))
        if self.wish_at is not None and self.state.step >= self.wish_at:
            self.take(begin_cooldown(control, self.state, "the user asked to stop"))
        self.states.append(self.state)

    def take(self, decided: tuple[ControllerState, list[Event]]) -> None:
        self.state = decided[0]
        self.events += decided[1]

    def to_the_end(self) -> Simulation:
        while self.state.phase != "done":
            self.step()
            assert self.state.step <= self.control.total_steps, "the run exceeds its budget"
        return self


def run(
    control: ControllerSettings, metrics: list[Metric], seconds: float | None = None
) -> tuple[list[ControllerState], list[Event]]:
    simulation = Simulation(control, metrics, seconds).to_the_end()
    return simulation.states, simulation.events


def test_a_plateau_begins_the_cooldown_after_exactly_patience_epochs() -> None:
    states, events = run(PLAIN, [0.1, 0.2, 0.3, 0.4, 0.5, 0.5])
    cooldown = states[-1].cooldown
    assert cooldown is not None
    assert cooldown.start == 100, "best at epoch 5, five epochs of patience"
    assert cooldown.steps == 20, "a fifth of the steps so far"
    assert states[-1].step == 120
    assert [event.phase for event in events] == ["stable", "cooldown", "done"]
    assert events[1].reason == (
        "epoch 10: val_dice 0.5000 has not risen by 0.001 for 5 epochs (best 0.5000 at 5): cooldown of 2 epochs begins"
    )


def test_patience_grows_with_the_run_where_it_is_a_share_of_it() -> None:
    grows = replace(PLAIN, patience_share=0.5)
    late: list[Metric] = [0.01 * epoch for epoch in range(1, 13)]
    states, events = run(grows, late)
    assert states[-1].cooldown is not None
    assert states[-1].cooldown.start == 240, "best at epoch 12, which is half of 24"
    assert "has not risen by 0.001 for 12 epochs (best 0.1200 at 12)" in events[1].reason
    early, _ = run(grows, late[:3])
    assert early[-1].cooldown is not None
    assert early[-1].cooldown.start == 80, "five epochs are longer than half of the first eight"
    never, _ = run(replace(grows, patience=None), late)
    assert never[-1].step == grows.total_steps, "without a patience there is no share of it, either"


def test_an_improvement_resets_the_patience() -> None:
    flat_then_better = [0.5] * 5 + [0.6] * 5 + [0.7]
    states, _ = run(PLAIN, flat_then_better)
    assert states[-1].best_epoch == 11
    assert states[-1].cooldown is not None
    assert states[-1].cooldown.start == 160


def test_the_budget_includes_its_cooldown() -> None:
    states, events = run(PLAIN, RISING)
    assert states[-1].step == PLAIN.total_steps == 600
    assert planned_cooldown_start(PLAIN) == 500
    assert states[-1].cooldown is not None
    assert states[-1].cooldown.start == 500
    assert "budget of 60 epochs" in events[1].reason


def test_the_time_left_begins_the_cooldown_early_enough() -> None:
    states, events = run(PLAIN, RISING, seconds=240)
    assert 190 <= states[-1].step <= 240
    assert "time left" in events[1].reason
    cooldown = states[-1].cooldown
    assert cooldown is not None
    assert cooldown.steps >= 0.2 * cooldown.start - 1


def test_a_wish_begins_the_cooldown_at_once_and_a_second_changes_nothing() -> None:
    simulation = Simulation(PLAIN, RISING, wish_at=103).to_the_end()
    assert simulation.state.cooldown == Cooldown(103, 21)
    assert simulation.state.step == 124
    assert "the user asked to stop: cooldown of 21 steps (2.1 epochs) begins" in simulation.events[1].reason
    assert begin_cooldown(PLAIN, simulation.states[110], "again") == (simulation.states[110], [])


def test_the_cooldown_of_poly_is_none() -> None:
    simulation = Simulation(replace(PLAIN, cooldown=0.0), RISING, wish_at=103).to_the_end()
    assert simulation.state.step == 103
    assert simulation.state.phase == "done"


def test_a_period_in_steps_gives_exactly_that_many_validations() -> None:
    control = replace(PLAIN, epochs=20, steps_per_epoch=250, validate_every=100, patience=None)
    simulation = Simulation(control, [0.5]).to_the_end()
    assert simulation.validated_at == list(range(100, 5001, 100))
    assert len(simulation.validated_at) == 50


def test_epochs_without_a_value_are_no_epochs_without_improvement() -> None:
    states, _ = run(replace(PLAIN, epochs=30), [0.5, *[None] * 29])
    assert states[-1].cooldown is not None
    assert states[-1].stopped_by == "the budget of 30 epochs ends"


def test_a_metric_seen_every_third_epoch_is_waited_for_in_epochs() -> None:
    states, _ = run(replace(PLAIN, validate_every=30), [0.5])
    assert states[-1].cooldown is not None
    assert states[-1].cooldown.start == 90, "best at 3, seen again at 6 and 9: six epochs are the five of patience"


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


def test_a_run_that_ends_amid_an_epoch_is_over_when_the_epoch_is_closed() -> None:
    ended, _ = begin_cooldown(replace(PLAIN, cooldown=0.0), ControllerState("stable", epoch=4, step=41), "enough")
    assert ended.phase == "done"
    assert not is_over(PLAIN, ended)
    assert is_over(PLAIN, replace(ended, epoch=5))
    assert is_over(PLAIN, replace(ended, step=40))
    assert not is_over(PLAIN, replace(ended, phase="stable", epoch=5))


def test_state_survives_json() -> None:
    states, _ = run(PLAIN, [0.5])
    assert ControllerState.from_dict(states[-1].to_dict()) == states[-1]
    assert ControllerState.from_dict(states[0].to_dict()) == states[0]


metric_values = st.one_of(st.none(), st.just(math.nan), st.floats(0, 1))


@st.composite
def simulations(draw: st.DrawFn) -> Simulation:
    control = replace(
        PLAIN,
        epochs=draw(st.integers(1, 30)),
        steps_per_epoch=draw(st.integers(1, 12)),
        cooldown=draw(st.floats(0, 1.5)),
        patience=draw(st.one_of(st.none(), st.integers(1, 10))),
        patience_share=draw(st.sampled_from([0.0, 0.25, 0.6])),
        smoothing=draw(st.sampled_from([0.0, 0.5, 0.9])),
        larger_is_better=draw(st.booleans()),
        validate_every=draw(st.one_of(st.none(), st.integers(1, 40))),
    )
    return Simulation(
        control,
        draw(st.lists(metric_values, min_size=1, max_size=80)),
        draw(st.one_of(st.none(), st.integers(1, 500))),
        draw(st.one_of(st.none(), st.integers(1, 400))),
    )


def test_the_past_weighs_less_with_each_epoch_however_often_it_is_measured() -> None:
    control = replace(PLAIN, smoothing=0.81)

    def smoothed(period: int, steps: int) -> float | None:
        state = observe(control, ControllerState(step=10), 0.0)
        for step in range(10 + period, 11 + steps, period):
            state = observe(control, replace(state, step=step), 1.0)
        return state.smoothed

    assert smoothed(10, 10) == pytest.approx(1 - 0.81)
    assert smoothed(5, 10) == pytest.approx(1 - 0.81)
    assert smoothed(5, 5) == pytest.approx(1 - 0.9)
    assert smoothed(30, 30) == pytest.approx(1 - 0.81**3)
    again = observe(control, observe(control, ControllerState(step=10), 0.4), 0.9)
    assert (again.smoothed, again.observed_step) == (0.4, 10)


@settings(max_examples=200, deadline=None)
@given(simulations())
def test_any_run_ends_within_its_budget_and_never_interrupts_a_cooldown(simulation: Simulation) -> None:
    control = simulation.control
    states = simulation.to_the_end().states
    for before, after in itertools.pairwise(states):
        if before.cooldown is not None:
            assert after.cooldown == before.cooldown
    if states[-1].cooldown is not None:
        assert states[-1].step == states[-1].cooldown.end
    assert simulation.validated_at == sorted(set(simulation.validated_at)), "no step is validated twice"
    if simulation.events[-1].reason.endswith("cooldown is finished") or states[-1].step == control.total_steps:
        assert simulation.validated_at[-1] == states[-1].step, "the last step is validated"


@settings(max_examples=200, deadline=None)
@given(simulations(), st.integers(0, 400))
def test_a_state_resumed_at_any_step_decides_the_same(simulation: Simulation, cut: int) -> None:
    states = simulation.to_the_end().states
    cut = min(cut, len(states) - 1)
    resumed = Simulation(
        simulation.control,
        simulation.metrics,
        simulation.seconds,
        simulation.wish_at,
        ControllerState.from_dict(states[cut].to_dict()),
        sum(step <= states[cut].step for step in simulation.validated_at),
    ).to_the_end()
    assert resumed.states == states[cut + 1 :]


@given(st.lists(metric_values, min_size=1, max_size=60), st.integers(1, 5), st.floats(0, 0.5))
def test_patience_is_reset_by_every_improvement(metrics: list[Metric], patience: int, share: float) -> None:
    """The cooldown of a plateau begins exactly ``patience`` epochs (or the share) after the last improvement, never earlier."""
    control = replace(PLAIN, patience=patience, patience_share=share, epochs=200)
    states, events = run(control, metrics)
    if "has not risen" not in events[-2].reason:
        return
    cooldown = states[-1].cooldown
    assert cooldown is not None
    at = cooldown.start // 10
    seen = [value for value in metrics[:at] if value is not None and not math.isnan(value)]
    best = -math.inf
    for value in seen:
        best = value if value > best + control.min_delta else best
    assert states[cooldown.start - 1].best == best
    before = states[cooldown.start - 1]
    assert before.observed_epoch - before.best_epoch >= max(patience, share * before.observed_epoch)
    assert not any(
        state.observed_epoch - state.best_epoch >= max(patience, share * state.observed_epoch)
        for state in states[: cooldown.start - 10]
        if state.best is not None
    ), "nor later"
