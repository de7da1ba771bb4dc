"""Validation: the loss on fixed samples and the metric of whole cases, of the averaged weights.

Nothing of the training changes by it: weights, normalisation statistics, random state and the order of the data
are the same after as before.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

import torch

from goodfit.training.task import TOTAL, BatchT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from goodfit.training.ema import WeightAverage
    from goodfit.training.task import Task

logger = logging.getLogger(__name__)

ENOUGH_CASES = 8
"""Whole cases whose metric can be watched; where a validation has no time for them, every other one measures it."""
RAREST = 5
"""Validations from one measurement of the metric to the next, at most."""


@dataclass(frozen=True)
class Effort:
    """What whole cases a training has time for; fixed in the first validation that predicts any.

    Attributes:
        cases: number of whole cases in the metric.
        every: validations from one measurement of the metric to the next.
    """

    cases: int
    every: int


@dataclass(frozen=True)
class Validated:
    """What a validation measured.

    Attributes:
        columns: column of metrics.csv -> value; without the metric's where it was not its turn.
        effort: what there is time for; None where that has not been chosen yet.
        seconds_per_case: time a whole case took; None when none was predicted.
        seconds: of the whole validation.
    """

    columns: Mapping[str, float]
    effort: Effort | None
    seconds_per_case: float | None
    seconds: float


class Validation(Generic[BatchT]):
    """Validates a task.

    Args:
        task: gives losses and metrics.
        average: the weights to judge.
        share: largest share of the training time that a validation may take; 1: no limit, so that no clock has a say.
    """

    def __init__(self, task: Task[BatchT], average: WeightAverage, share: float) -> None:
        self._task, self._average, self._share = task, average, share

    def measure(
        self, effort: Effort | None, training_seconds: float, still_wanted: Callable[[], None], *, metric: bool = True
    ) -> Validated:
        """Validate once.

        Args:
            effort: of an earlier validation; None chooses it, with the first metric, so that validation keeps within its
                share.
            training_seconds: training time from one validation to the next.
            still_wanted: raises when the run has to leave.
            metric: whether to predict whole cases, too.
        """
        started = time.perf_counter()
        task = self._task
        device = next(task.network.parameters()).device
        with (
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            self._average.in_place_of(task.network) as network,
            torch.inference_mode(),
        ):
            network.eval()
            train = task.fixed_loss(network, "train")
            still_wanted()
            validation = task.fixed_loss(network, "validation")
            still_wanted()
            if effort is None and metric:
                spent = time.perf_counter() - started
                effort = self._affordable(training_seconds, spent, still_wanted)
            result = None if effort is None or not metric else task.validate(network, effort.cases, still_wanted)
        columns = {
            "train_eval_loss": train[TOTAL],
            "val_loss": validation[TOTAL],
            **{f"val_loss_{part}": validation[part] for part in task.loss_parts},
            **({} if result is None else result.metrics),
        }
        per_case = None if result is None else result.seconds / max(1, result.cases)
        return Validated(columns, effort, per_case, time.perf_counter() - started)

    def _affordable(self, training_seconds: float, spent: float, still_wanted: Callable[[], None]) -> Effort:
        """Choose how many whole cases, and how often, keep validation within its share of the training time.

        A metric of a few cases jumps so much that patience would look at noise. So where there is time for fewer
        than ``ENOUGH_CASES``, the metric is measured less often, of more cases.
        """
        task = self._task
        if self._share >= 1:
            return Effort(task.validation_cases, 1)
        task.validate(task.network, 1, still_wanted)  # the first case also pays for warming up
        one = max(task.validate(task.network, 1, still_wanted).seconds, 1e-6)
        allowed = self._share * training_seconds - spent
        wanted = min(ENOUGH_CASES, task.validation_cases)
        every = max(1, min(RAREST, math.ceil(wanted * one / max(allowed, 1e-6))))
        cases = min(task.validation_cases, max(1, math.floor(every * allowed / one)))
        if cases < task.validation_cases or every > 1:
            rarely = f", at every {every}th validation" if every > 1 else ""
            logger.warning(
                "the metric uses a fixed subset of %d of %d cases%s: more would take over %.0f %% of the training time",
                cases,
                task.validation_cases,
                rarely,
                100 * self._share,
            )
        taken = spent + cases * one / every
        if taken > 1.5 * self._share * training_seconds:
            logger.warning(
                "a validation takes %.0f s, %.0f %% of the training time between two of them: choose a longer "
                "--validate-every",
                taken,
                100 * taken / training_seconds,
            )
        return Effort(cases, every)
