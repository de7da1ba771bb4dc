"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from goodfit.planning.plan import Training

POLY_EXPONENT = 0.9  # nnU-Net: PolyLRScheduler


@dataclass(frozen=True)
class Cooldown:
    """Where the cooldown begins and how many steps it takes."""

    start: int
    steps: int

    @property
    def end(self) -> int:
        """Number of steps of the whole run."""
        return self.start + self.steps


def warmup_factor(step: int, warmup_steps: int) -> float:
    """Rise linearly from ``1 / warmup_steps`` to 1 over the first ``warmup_steps`` steps."""
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps > 0 else 1.0


def cooldown_factor(step: int, cooldown: Cooldown | None, shape: Literal["linear", "1-sqrt"]) -> float:
    """Fall from 1 at the cooldown's start towards 0, which the step after its last would have.

    The shapes are those of Hägele et al. 2024, "Scaling Laws and Compute-Optimal Training Beyond Fixed Training
    Durations": ``1 - t`` and ``1 - sqrt(t)`` with ``t`` the share of the cooldown that is done.
    """
    if cooldown is None or step < cooldown.start:
        return 1.0
    if step >= cooldown.end:
        return 0.0
    done = (step - cooldown.start) / cooldown.steps
    return 1.0 - (math.sqrt(done) if shape == "1-sqrt" else done)


def wsd(
    step: int, *, peak: float, warmup_steps: int, cooldown: Cooldown | None, shape: Literal["linear", "1-sqrt"]
) -> float:
    """Warm-up, stable, cooldown: the learning rate of step ``step`` (counted from 0).

    The warm-up factor is held in the cooldown too, so that a run stopped during its warm-up cools down from the
    rate it had reached.
    """
    reached = step if cooldown is None else min(step, max(0, cooldown.start - 1))
    return peak * warmup_factor(reached, warmup_steps) * cooldown_factor(step, cooldown, shape)


def poly(step: int, *, peak: float, total_steps: int) -> float:
    """nnU-Net's schedule: ``peak * (1 - step / total) ** 0.9``."""
    return peak * math.pow(max(0.0, 1.0 - step / total_steps), POLY_EXPONENT)


def scheduled_rate(
    step: int, peak: float, training: Training, total_steps: int, warmup_steps: int, cooldown: Cooldown | None
) -> float:
    """Give the learning rate of a step under a plan's schedule and what the controller has decided so far."""
    if training.schedule == "poly":
        return poly(step, peak=peak, total_steps=total_steps)
    return wsd(step, peak=peak, warmup_steps=warmup_steps, cooldown=cooldown, shape=training.cooldown_shape)
