"""Fitting the budget to the time: which network and batch a given time can train, and how many epochs that makes."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goodfit.planning.override import shrink_network

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from goodfit.planning.plan import Configuration

logger = logging.getLogger(__name__)

STEPS_PER_EPOCH = 250  # nnU-Net: num_iterations_per_epoch
MIN_EPOCHS = 20
"""A short budget shortens the epoch rather than having fewer: curves and controller need points."""
ENOUGH_STEPS = 900
"""Steps a budget must buy before a larger network or batch is worth it (benchmarks/budgets.py measured it)."""
OVERHEAD = 1.12
"""Time per step as the loop sees it, validation and checkpoints included, relative to a bare step."""
MIN_FEATURES = 8
FITTED = "fitted to the time budget"


@dataclass(frozen=True)
class FittedBudget:
    """What was chosen for a time budget.

    Attributes:
        configuration: the planned one, or a smaller one.
        seconds_per_step: measured for it.
        steps: expected steps in the time.
        steps_per_epoch: length of an epoch.
        reason: why this network and batch.
    """

    configuration: Configuration
    seconds_per_step: float
    steps: int
    steps_per_epoch: int
    reason: str

    @property
    def epochs(self) -> int:
        """Expected number of epochs."""
        return max(1, self.steps // self.steps_per_epoch)


def candidates(planned: Configuration, *, batch_fixed: bool) -> list[Configuration]:
    """Give smaller variants of a configuration, cheapest first, the planned one last.

    Features are halved at most twice, batches at most to 2; a batch that the user chose stays.
    """
    base = planned.network.features[0]
    divisors = [divisor for divisor in (4, 2, 1) if divisor == 1 or base // divisor >= MIN_FEATURES]
    batches = {planned.batch_size} if batch_fixed else {min(size, planned.batch_size) for size in (2, 4, 8, 16, 32)}
    ladder: list[Configuration] = []
    for divisor in divisors:
        for batch in sorted(batches):
            if divisor > 2 and batch > min(batches):
                continue  # a quarter of the features is for the smallest machines alone
            smaller = planned if divisor == 1 else shrink_network(planned, divisor, FITTED)
            ladder.append(smaller if batch == planned.batch_size else smaller.model_copy(update={"batch_size": batch}))
    if not batch_fixed and ladder[-1].batch_size != planned.batch_size:
        ladder.append(planned)
    return ladder


def samples_cost(configuration: Configuration) -> int:
    """Order candidates by cost: batch times the square of the features (convolutions dominate)."""
    return configuration.batch_size * configuration.network.features[0] ** 2


def epoch_length(steps: int, steps_per_epoch: int = STEPS_PER_EPOCH) -> int:
    """Give the steps of an epoch: the standard length, shortened so that there are at least 20 epochs."""
    return max(1, min(steps_per_epoch, steps // MIN_EPOCHS))


def fit_to_time(
    ladder: Sequence[Configuration],
    training_seconds: float,
    measure: Callable[[Configuration], float],
    steps_per_epoch: int | None = None,
) -> FittedBudget:
    """Take the largest candidate that still makes ``ENOUGH_STEPS`` steps in the time; else the cheapest.

    Args:
        ladder: candidates; tried from the cheapest up, so that measuring costs little of the time.
        training_seconds: time for steps and validation.
        measure: gives the seconds of one step of a configuration on this machine.
        steps_per_epoch: set when the user chose it.
    """
    tried: list[str] = []
    chosen: tuple[Configuration, float, int] | None = None
    for configuration in sorted(ladder, key=samples_cost):
        seconds = measure(configuration) * OVERHEAD
        steps = math.floor(training_seconds / seconds)
        tried.append(f"{configuration.network.features[0]} features x batch {configuration.batch_size}: {steps} steps")
        logger.info("%s (%.3f s a step)", tried[-1], seconds)
        if chosen is not None and steps < ENOUGH_STEPS:
            break
        chosen = (configuration, seconds, max(1, steps))
        if steps < ENOUGH_STEPS:
            break
    assert chosen is not None, "the ladder is never empty"
    configuration, seconds, steps = chosen
    length = steps_per_epoch if steps_per_epoch is not None else epoch_length(steps)
    reason = (
        f"the largest network and batch that make {ENOUGH_STEPS} steps in {training_seconds:.0f} s of training; "
        f"measured here: {'; '.join(tried)}"
    )
    return FittedBudget(configuration, seconds, steps, length, reason)
