"""When to stop: a pure state machine, warm-up -> stable -> cooldown -> done.

The state is a value; ``after_epoch`` maps a state and what was observed to the next state and the events that
explain it. Stopping is a phase: a plateau, the end of the budget, the end of the time or the user's wish begin
the cooldown, during which the learning rate falls to zero, and the cooldown is never cut short.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from goodfit.training.schedule import Cooldown

Phase = Literal["warmup", "stable", "cooldown", "done"]

# Share of the time left that the cooldown may plan to use: machines slow down more often than they speed up.
TIME_MARGIN = 0.98


@dataclass(frozen=True)
class ControllerSettings:
    """What the controller goes by.

    Attributes:
        epochs: largest number of epochs.
        steps_per_epoch: steps of an epoch; only the last one of a run may be shorter.
        warmup_steps: steps of the warm-up.
        cooldown: steps of the cooldown as a share of the steps before it; 0 ends without one.
        patience: epochs without improvement before the cooldown begins; None: never.
        min_delta: rise (or fall) of the smoothed metric that counts as an improvement.
        monitor: name of the watched metric, for messages.
        larger_is_better: whether the watched metric rises as the fit gets better.
        smoothing: weight of the past in the running mean that the patience looks at, in [0, 1).
    """

    epochs: int
    steps_per_epoch: int
    warmup_steps: int
    cooldown: float
    patience: int | None
    min_delta: float
    monitor: str
    larger_is_better: bool
    smoothing: float = 0.5

    @property
    def total_steps(self) -> int:
        """Largest number of steps."""
        return self.epochs * self.steps_per_epoch


@dataclass(frozen=True)
class ControllerState:
    """Where a run stands; all of it is saved with a checkpoint.

    Attributes:
        phase: the phase of the next step.
        epoch: number of finished epochs.
        step: number of finished steps.
        smoothed: running mean of the watched metric, or None before its first value.
        best: best smoothed value so far.
        best_epoch: epoch (counted from 1) of the best value.
        cooldown: set once the cooldown has begun.
        stopped_by: why the cooldown began.
    """

    phase: Phase = "warmup"
    epoch: int = 0
    step: int = 0
    smoothed: float | None = None
    best: float | None = None
    best_epoch: int = 0
    cooldown: Cooldown | None = None
    stopped_by: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give the state as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> ControllerState:
        """Rebuild a state from ``to_dict``."""
        cooldown = value.get("cooldown")
        return cls(**{**value, "cooldown": None if cooldown is None else Cooldown(**cooldown)})


@dataclass(frozen=True)
class Event:
    """A transition and its reason, as it is logged and kept in events.json."""

    epoch: int
    step: int
    phase: Phase
    reason: str


@dataclass(frozen=True)
class Observation:
    """What an epoch showed.

    Attributes:
        metric: value of the watched metric; None or NaN when there was none.
        seconds_left: time left for training, or None without a time budget.
        seconds_per_step: recent time per step, validation and checkpoints included.
        stop_requested: the user asked for the cooldown.
    """

    metric: float | None
    seconds_left: float | None = None
    seconds_per_step: float | None = None
    stop_requested: bool = False


def planned_cooldown_start(settings: ControllerSettings) -> int:
    """Step, the end of an epoch, at which the cooldown must begin so that the whole run fits the budget of steps."""
    exact = settings.total_steps / (1 + settings.cooldown)
    return math.floor(exact / settings.steps_per_epoch) * settings.steps_per_epoch


def next_boundary(settings: ControllerSettings, state: ControllerState) -> int:
    """Step at which the epoch that is running ends."""
    length = settings.steps_per_epoch
    if state.cooldown is not None:
        done = state.step - state.cooldown.start
        return min(state.cooldown.start + (done // length + 1) * length, state.cooldown.end)
    return min((state.step // length + 1) * length, settings.total_steps)


def _observe(settings: ControllerSettings, state: ControllerState, metric: float | None) -> ControllerState:
    if metric is None or not math.isfinite(metric):
        return state
    past = state.smoothed
    smoothed = metric if past is None else settings.smoothing * past + (1 - settings.smoothing) * metric
    state = replace(state, smoothed=smoothed)
    gain = math.inf if state.best is None else (smoothed - state.best) * (1 if settings.larger_is_better else -1)
    if gain > settings.min_delta:
        return replace(state, best=smoothed, best_epoch=state.epoch)
    return state


def _reason_to_cool(settings: ControllerSettings, state: ControllerState, seen: Observation) -> tuple[str, int] | None:
    """Why the cooldown should begin now, with its steps; None to go on."""
    wanted = math.ceil(settings.cooldown * state.step)
    room = settings.total_steps - state.step
    if seen.stop_requested:
        return "the user asked to stop", min(wanted, room)
    if state.step >= planned_cooldown_start(settings):
        return f"the budget of {settings.epochs} epochs ends", room
    if seen.seconds_left is not None and seen.seconds_per_step:
        affordable = math.floor(TIME_MARGIN * seen.seconds_left / seen.seconds_per_step)
        after_one_more = math.ceil(settings.cooldown * (state.step + settings.steps_per_epoch))
        if affordable < settings.steps_per_epoch + after_one_more:
            # A run whose time is up still cools down for an epoch: without it the weights are no end of a training.
            least = min(wanted, settings.steps_per_epoch)
            return f"the time left is {max(0.0, seen.seconds_left):.0f} s", min(max(affordable, least), room)
    if settings.patience is not None and state.best is not None:
        waited = state.epoch - state.best_epoch
        if waited >= settings.patience:
            return (
                f"{settings.monitor} {state.smoothed:.4f} has not improved by {settings.min_delta:g} for {waited} "
                f"epochs (best {state.best:.4f} at {state.best_epoch})",
                min(wanted, room),
            )
    return None


def after_epoch(
    settings: ControllerSettings, state: ControllerState, seen: Observation
) -> tuple[ControllerState, list[Event]]:
    """Give the state that follows an epoch (``state.epoch`` and ``state.step`` already count it).

    Returns:
        The next state and the events that led to it, none when the phase stays as it is.
    """
    state = _observe(settings, state, seen.metric)
    if state.phase == "done":
        return state, []
    if state.cooldown is not None:
        if state.step < state.cooldown.end:
            return state, []
        done = replace(state, phase="done")
        return done, [Event(state.epoch, state.step, "done", f"epoch {state.epoch}: the cooldown is finished")]
    cool = _reason_to_cool(settings, state, seen)
    if cool is not None:
        reason, steps = cool
        if steps <= 0:
            done = replace(state, phase="done", stopped_by=reason)
            return done, [Event(state.epoch, state.step, "done", f"epoch {state.epoch}: {reason}; no cooldown")]
        cooled = replace(state, phase="cooldown", cooldown=Cooldown(state.step, steps), stopped_by=reason)
        said = f"epoch {state.epoch}: {reason}: cooldown of {steps} steps begins"
        return cooled, [Event(state.epoch, state.step, "cooldown", said)]
    if state.phase == "warmup" and state.step >= settings.warmup_steps:
        stable = replace(state, phase="stable")
        return stable, [Event(state.epoch, state.step, "stable", f"epoch {state.epoch}: warm-up finished")]
    return state, []
