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


@dataclass(frozen=True)
class Validated:
    """What a validation measured.

    Attributes:
        columns: column of metrics.csv -> value.
        cases: number of whole cases in the metrics.
        seconds_per_case: time a case took.
        seconds: of the whole validation.
    """

    columns: Mapping[str, float]
    cases: int
    seconds_per_case: float
    seconds: float


class Validation(Generic[BatchT]):
    """Validates a task.

    Args:
        task: gives losses and metrics.
        average: the weights to judge.
        share: largest share of the training time that a validation may take.
    """

    def __init__(self, task: Task[BatchT], average: WeightAverage, share: float) -> None:
        self._task, self._average, self._share = task, average, share

    def measure(self, cases: int | None, training_seconds: float, still_wanted: Callable[[], None]) -> Validated:
        """Validate once.

        Args:
            cases: number of whole cases; None chooses it so that the validation keeps within its share.
            training_seconds: training time from one validation to the next.
            still_wanted: raises when the run has to leave.
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
            if cases is None:
                spent = time.perf_counter() - started
                cases = self._affordable_cases(training_seconds, spent, still_wanted)
            result = task.validate(network, cases, still_wanted)
        columns = {
            "train_eval_loss": train[TOTAL],
            "val_loss": validation[TOTAL],
            **{f"val_loss_{part}": validation[part] for part in task.loss_parts},
            **result.metrics,
        }
        return Validated(columns, result.cases, result.seconds / max(1, result.cases), time.perf_counter() - started)

    def _affordable_cases(self, training_seconds: float, spent: float, still_wanted: Callable[[], None]) -> int:
        """Number of whole cases whose prediction keeps a validation within its share of the training time."""
        task = self._task
        task.validate(task.network, 1, still_wanted)  # the first case also pays for warming up
        one = task.validate(task.network, 1, still_wanted).seconds
        allowed = self._share * training_seconds - spent
        cases = min(task.validation_cases, max(1, math.floor(allowed / max(one, 1e-6))))
        if cases < task.validation_cases:
            logger.warning(
                "validation uses a fixed subset of %d of %d cases: all of them would take more than %.0f %% of the "
                "training time",
                cases,
                task.validation_cases,
                100 * self._share,
            )
        if spent + cases * one > 1.5 * self._share * training_seconds:
            logger.warning(
                "a validation takes %.0f s, %.0f %% of the training time between two of them: choose a longer "
                "--validate-every",
                spent + cases * one,
                100 * (spent + cases * one) / training_seconds,
            )
        return cases
