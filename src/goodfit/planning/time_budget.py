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
STEPS_FOR_WIDTH = 900
"""Steps a time must buy before a wider network is worth it: below, a narrower one learns more in the same time."""
STEPS_FOR_BATCH = 4000
"""Steps a time must buy before a larger batch is worth it: a short training gains more from more steps."""
LEAST_BATCH = 2
LEAST_VOXELS = 2**17
"""Voxels of a step below which the time goes into overhead rather than arithmetic."""
OVERHEAD = 1.12
"""Time per step as the loop sees it, validation and checkpoints included, relative to a bare step."""
MIN_FEATURES = 8
FITTED = "fitted to the time budget"


@dataclass(frozen=True)
class Candidate:
    """A configuration and the steps it must make in the time to be taken."""

    configuration: Configuration
    enough_steps: int

    @property
    def words(self) -> str:
        """Name it in a sentence."""
        return f"{self.configuration.network.features[0]} features x batch {self.configuration.batch_size}"


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


def smallest_batch(planned: Configuration) -> int:
    """Give the batch that a short training starts from: 2, or more where patches are small (2D)."""
    return min(planned.batch_size, max(LEAST_BATCH, math.ceil(LEAST_VOXELS / math.prod(planned.patch_size))))


def candidates(planned: Configuration, *, batch_fixed: bool) -> list[Candidate]:
    """Give smaller variants of a configuration, cheapest first, the planned one last.

    First the network grows from a quarter to its full width at the smallest batch, then the batch doubles up to the
    planned one. A batch that the user chose stays.
    """
    base = planned.network.features[0]
    batch = planned.batch_size if batch_fixed else smallest_batch(planned)
    ladder = []
    for divisor in (4, 2, 1):
        if divisor > 1 and base // divisor < MIN_FEATURES:
            continue
        narrower = planned if divisor == 1 else shrink_network(planned, divisor, FITTED)
        ladder.append(Candidate(_with_batch(narrower, batch), STEPS_FOR_WIDTH))
    while batch < planned.batch_size:
        batch = min(2 * batch, planned.batch_size)
        ladder.append(Candidate(_with_batch(planned, batch), STEPS_FOR_BATCH))
    return ladder


def _with_batch(configuration: Configuration, batch: int) -> Configuration:
    return (
        configuration if batch == configuration.batch_size else configuration.model_copy(update={"batch_size": batch})
    )


def epoch_length(steps: int, steps_per_epoch: int = STEPS_PER_EPOCH) -> int:
    """Give the steps of an epoch: the standard length, shortened so that there are at least 20 epochs."""
    return max(1, min(steps_per_epoch, steps // MIN_EPOCHS))


def fit_to_time(
    ladder: Sequence[Candidate],
    training_seconds: float,
    measure: Callable[[Configuration], float],
    steps_per_epoch: int | None = None,
) -> FittedBudget:
    """Climb the ladder while the time buys enough steps of the next candidate.

    Args:
        ladder: candidates, cheapest first, so that measuring costs little of the time.
        training_seconds: time for steps and validation.
        measure: gives the seconds of one step of a configuration on this machine.
        steps_per_epoch: set when the user chose it.
    """
    tried: list[str] = []
    chosen: tuple[Configuration, float, int] | None = None
    for candidate in ladder:
        seconds = measure(candidate.configuration) * OVERHEAD
        steps = math.floor(training_seconds / seconds)
        enough = steps >= candidate.enough_steps
        tried.append(f"{candidate.words}: {steps} steps" + ("" if enough else f", fewer than {candidate.enough_steps}"))
        logger.info("%s (%.3f s a step)", tried[-1], seconds)
        if enough or chosen is None:
            chosen = (candidate.configuration, seconds, max(1, steps))
        if not enough:
            break
    assert chosen is not None, "the ladder is never empty"
    configuration, seconds, steps = chosen
    length = steps_per_epoch if steps_per_epoch is not None else epoch_length(steps)
    reason = f"fitted to {training_seconds:.0f} s of training; measured here: {'; '.join(tried)}"
    return FittedBudget(configuration, seconds, steps, length, reason)
