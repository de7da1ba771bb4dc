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
AIMED_EPOCHS = 25
"""What the epoch is shortened for, since steps turn out slower more often than faster."""
STEPS_FOR_3D = 300
"""Steps of the cheapest 3D network below which the time is better spent on slices: such a training ends before it
has learnt anything (heart MRI, four minutes on two cores: 3d_fullres made some 60 steps, Dice 0.04)."""
STEPS_FOR_HALF = 500
"""Steps a time must buy before half the planned width is worth it instead of a quarter."""
STEPS_FOR_SAMPLES = 500
"""Steps a time must buy before twice the smallest batch is worth it."""
STEPS_FOR_FULL = 4000
"""Steps a time must buy before the full width, and then a larger batch, is worth it: until then a narrower network,
which sees several times as many samples in the same time, is ahead (docs/log.md has the runs)."""
LEAST_BATCH = 2
LEAST_VOXELS = 2**17
"""Voxels of a step below which the time goes into overhead rather than arithmetic."""
PREVIOUS_STAGE_SHARE = 0.5
"""Part of a time budget in which a cascade trains its first stage, all folds together."""
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

    The network grows from a quarter to half its width, the batch doubles, the network gets its full width, then the
    batch doubles up to the planned one. A batch that the user chose stays.
    """
    base = planned.network.features[0]
    batch = planned.batch_size if batch_fixed else smallest_batch(planned)
    double = min(2 * batch, planned.batch_size)
    ladder = [
        Candidate(_sized(planned, divisor, size), steps)
        for divisor, size, steps in ((4, batch, 1), (2, batch, STEPS_FOR_HALF), (2, double, STEPS_FOR_SAMPLES))
        if base // divisor >= MIN_FEATURES
    ]
    if not ladder:
        ladder.append(Candidate(_sized(planned, 1, batch), 1))
    while True:
        ladder.append(Candidate(_sized(planned, 1, double), STEPS_FOR_FULL))
        if double == planned.batch_size:
            return [one for index, one in enumerate(ladder) if index == 0 or one.words != ladder[index - 1].words]
        double = min(2 * double, planned.batch_size)


def _sized(planned: Configuration, divisor: int, batch: int) -> Configuration:
    configuration = planned if divisor == 1 else shrink_network(planned, divisor, FITTED)
    return configuration if batch == planned.batch_size else configuration.model_copy(update={"batch_size": batch})


def epoch_length(steps: int, steps_per_epoch: int = STEPS_PER_EPOCH) -> int:
    """Give the steps of an epoch: the standard length, shortened so that there are 25 epochs, and 20 if steps are slower."""
    return max(1, min(steps_per_epoch, steps // AIMED_EPOCHS))


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
        if chosen is not None and chosen[2] < candidate.enough_steps:
            tried.append(f"{candidate.words} would need {candidate.enough_steps}")
            break  # a costlier candidate makes fewer steps still: no need to measure it
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
