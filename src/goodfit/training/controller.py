"""When to stop: a pure state machine, warm-up -> stable -> cooldown -> done.

The state is a value. ``observe`` takes in what a validation measured, ``decide`` maps the state at the end of an
epoch to the next state and the events that explain it, ``begin_cooldown`` obeys a wish at any step. Stopping is a
phase: a plateau, the end of the budget, the end of the time or a wish begin the cooldown, during which the
learning rate falls to zero, and the cooldown is never cut short.
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
        smoothing: weight of the past in the running mean that the patience looks at, in [0, 1), for each epoch that
            has passed since the value before: what is measured rarely is smoothed over the same epochs.
        validate_every: steps from one validation to the next; the last step of a run is validated, too.
        patience_share: epochs without improvement as a share of the epochs so far: the longer wait of the two counts.
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
    validate_every: int | None = None
    patience_share: float = 0.0

    @property
    def total_steps(self) -> int:
        """Largest number of steps."""
        return self.epochs * self.steps_per_epoch

    @property
    def validation_period(self) -> int:
        """Steps from one validation to the next: an epoch unless asked otherwise."""
        return self.validate_every or self.steps_per_epoch


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
        observed_epoch: epoch of the newest value; 0 before the first.
        observed_step: its step.
        cooldown: set once the cooldown has begun.
        stopped_by: why the cooldown began.
    """

    phase: Phase = "warmup"
    epoch: int = 0
    step: int = 0
    smoothed: float | None = None
    best: float | None = None
    best_epoch: int = 0
    observed_epoch: int = 0
    observed_step: int = 0
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
class Clock:
    """The time left at the end of an epoch.

    Attributes:
        seconds_left: time left for training.
        seconds_per_step: recent time per step, validation and checkpoints included.
    """

    seconds_left: float
    seconds_per_step: float


def end_of(settings: ControllerSettings, state: ControllerState) -> int:
    """Step at which the run ends, as far as is decided."""
    if state.phase == "done":
        return state.step
    return settings.total_steps if state.cooldown is None else state.cooldown.end


def is_over(settings: ControllerSettings, state: ControllerState) -> bool:
    """Whether nothing is left to do: a wish may end a run in the middle of an epoch, which has to be closed, too."""
    return state.phase == "done" and state.epoch * settings.steps_per_epoch >= state.step


def end_of_epoch(settings: ControllerSettings, state: ControllerState) -> int:
    """Step at which the epoch that is running ends: the last of a run may be shorter."""
    return min((state.epoch + 1) * settings.steps_per_epoch, end_of(settings, state))


def validation_due(settings: ControllerSettings, state: ControllerState) -> bool:
    """Whether the step that has just been finished is one after which a validation belongs."""
    at = state.step
    return at > 0 and (at % settings.validation_period == 0 or at == end_of(settings, state))


def planned_cooldown_start(settings: ControllerSettings) -> int:
    """Step, the end of an epoch, at which the cooldown must begin so that the whole run fits the budget of steps."""
    exact = settings.total_steps / (1 + settings.cooldown)
    return math.floor(exact / settings.steps_per_epoch) * settings.steps_per_epoch


def observe(settings: ControllerSettings, state: ControllerState, metric: float | None) -> ControllerState:
    """Take in the watched metric of a validation; NaN, infinity and None say nothing.

    Patience counts epochs since the best smoothed value: an improvement by more than ``min_delta`` resets it.
    """
    if metric is None or not math.isfinite(metric):
        return state
    epoch = math.ceil(state.step / settings.steps_per_epoch)
    past = state.smoothed
    weight = settings.smoothing ** ((state.step - state.observed_step) / settings.steps_per_epoch)
    smoothed = metric if past is None else weight * past + (1 - weight) * metric
    state = replace(state, smoothed=smoothed, observed_epoch=epoch, observed_step=state.step)
    gain = math.inf if state.best is None else (smoothed - state.best) * (1 if settings.larger_is_better else -1)
    if gain > settings.min_delta:
        return replace(state, best=smoothed, best_epoch=epoch)
    return state


def _reason_to_cool(
    settings: ControllerSettings, state: ControllerState, clock: Clock | None
) -> tuple[str, int] | None:
    """Why the cooldown should begin now, with its steps; None to go on."""
    wanted = math.ceil(settings.cooldown * state.step)
    room = settings.total_steps - state.step
    if state.step >= planned_cooldown_start(settings):
        return f"the budget of {settings.epochs} epochs ends", room
    if clock is not None:
        affordable = math.floor(TIME_MARGIN * clock.seconds_left / clock.seconds_per_step)
        after_one_more = math.ceil(settings.cooldown * (state.step + settings.steps_per_epoch))
        if affordable < settings.steps_per_epoch + after_one_more:
            # A run whose time is up still cools down for an epoch: without it the weights are no end of a training.
            least = min(wanted, settings.steps_per_epoch)
            return f"the time left is {max(0.0, clock.seconds_left):.0f} s", min(max(affordable, least), room)
    if settings.patience is not None and state.best is not None:
        # Epochs without a value say nothing, so they do not count as epochs without improvement at the end.
        waited = state.observed_epoch - state.best_epoch
        if waited >= max(settings.patience, settings.patience_share * state.observed_epoch):
            verb = "risen" if settings.larger_is_better else "fallen"
            return (
                f"{settings.monitor} {state.smoothed:.4f} has not {verb} by {settings.min_delta:g} for {waited} "
                f"epochs (best {state.best:.4f} at {state.best_epoch})",
                min(wanted, room),
            )
    return None


def _length(settings: ControllerSettings, steps: int) -> str:
    epochs = steps / settings.steps_per_epoch
    if steps % settings.steps_per_epoch == 0:
        return f"{epochs:.0f} {'epoch' if epochs == 1 else 'epochs'}"
    return f"{steps} steps ({epochs:.1f} epochs)"


def _cool(
    settings: ControllerSettings, state: ControllerState, reason: str, steps: int
) -> tuple[ControllerState, Event]:
    where = f"epoch {max(1, math.ceil(state.step / settings.steps_per_epoch))}"
    if steps <= 0:
        done = replace(state, phase="done", stopped_by=reason)
        return done, Event(state.epoch, state.step, "done", f"{where}: {reason}: the end, without a cooldown")
    cooled = replace(state, phase="cooldown", cooldown=Cooldown(state.step, steps), stopped_by=reason)
    said = f"{where}: {reason}: cooldown of {_length(settings, steps)} begins"
    return cooled, Event(state.epoch, state.step, "cooldown", said)


def begin_cooldown(
    settings: ControllerSettings, state: ControllerState, reason: str
) -> tuple[ControllerState, list[Event]]:
    """Obey a wish to end, at any step: the cooldown of the usual share begins, or nothing if it has begun."""
    if state.phase in ("cooldown", "done"):
        return state, []
    wanted = math.ceil(settings.cooldown * state.step)
    decided, event = _cool(settings, state, reason, min(wanted, settings.total_steps - state.step))
    return decided, [event]


def decide(
    settings: ControllerSettings, state: ControllerState, clock: Clock | None = None
) -> tuple[ControllerState, list[Event]]:
    """Give the state that follows an epoch (``state.epoch`` and ``state.step`` already count it).

    Args:
        settings: what to go by.
        state: with the epoch's validation, if there was one, taken in by ``observe``.
        clock: the time left, or None without a time budget.

    Returns:
        The next state and the events that led to it, none when the phase stays as it is.
    """
    if state.phase == "done":
        return state, []
    if state.cooldown is not None:
        if state.step < state.cooldown.end:
            return state, []
        done = replace(state, phase="done")
        return done, [Event(state.epoch, state.step, "done", f"epoch {state.epoch}: the cooldown is finished")]
    cool = _reason_to_cool(settings, state, clock)
    if cool is not None:
        decided, event = _cool(settings, state, *cool)
        return decided, [event]
    if state.phase == "warmup" and state.step >= settings.warmup_steps:
        stable = replace(state, phase="stable")
        return stable, [Event(state.epoch, state.step, "stable", f"epoch {state.epoch}: warm-up finished")]
    return state, []
