"""Fitting the epochs of a training on instances to a time, by timing real steps."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import torch

from goodfit.planning.arithmetic import describe_seconds
from goodfit.planning.time_budget import AIMED_EPOCHS, FITTED, OVERHEAD
from goodfit.training.ema import WeightAverage
from goodfit.training.micro_batches import gradients_within_memory
from goodfit.training.optimizer import build_optimizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.tasks.instances.task import InstanceTask

TIMED_STEPS = 3
LEAST_STEPS = 5
"""Steps of the shortest epoch: fewer say nothing between two validations."""
LONGEST_EPOCH = 250


def time_instance_step(make_task: Callable[[], InstanceTask], plan: InstancePlan) -> float:
    """Give the seconds of a training step, loading included: the fastest of a few after one that warms up.

    The global random state is as before.
    """
    with torch.random.fork_rng():
        task = make_task()
        optimizer, average = (
            build_optimizer(task.network, plan.training),
            WeightAverage(task.network, plan.training.ema),
        )
        task.network.train()
        seconds, parts = [], 1
        started = time.perf_counter()
        for step, batch in enumerate(task.batches(0, 1 + TIMED_STEPS)):
            _losses, parts = gradients_within_memory(task, optimizer, batch, step, parts)  # waits for a GPU
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            average.update(task.network, step + 1)
            seconds.append(time.perf_counter() - started)
            started = time.perf_counter()
        task.close()
    return min(seconds[1:])


def fit_instances_to_time(plan: InstancePlan, step_seconds: float, seconds_left: float) -> InstancePlan:
    """Give the plan with epochs short enough for a time budget; values that the user asked for stay.

    Args:
        plan: with a time budget.
        step_seconds: of one training step.
        seconds_left: of the budget, for training.
    """
    per_step = step_seconds * OVERHEAD
    expected = max(LEAST_STEPS, math.floor(max(0.0, seconds_left) / per_step))
    budget = plan.budget
    reasons = dict(budget.reasons)
    length = max(LEAST_STEPS, min(LONGEST_EPOCH, expected // AIMED_EPOCHS))
    if "asked" in reasons.get("steps_per_epoch", ""):
        length = budget.steps_per_epoch
    else:
        reasons["steps_per_epoch"] = f"{FITTED}: {AIMED_EPOCHS} epochs or more, so that the curves have points"
    reasons["time"] = (
        f"{expected} steps of {per_step:.2f} s (measured here, validation included) fit into the "
        f"{describe_seconds(seconds_left)} left for training"
    )
    return plan.model_copy(
        update={
            "budget": budget.model_copy(
                update={"steps_per_epoch": length, "expected_steps": expected, "reasons": reasons}
            )
        }
    )


def with_hours(plan: InstancePlan, step_seconds: float) -> InstancePlan:
    """Give the plan with the time that its whole budget takes on this machine, in words."""
    steps, per_step = plan.budget.epochs * plan.budget.steps_per_epoch, step_seconds * OVERHEAD
    said = (
        f"{steps:,} steps of {per_step:.2f} s (measured here, validation included) take {describe_seconds(steps * per_step)} "
        "at most; patience usually ends a training before"
    )
    return plan.model_copy(
        update={"budget": plan.budget.model_copy(update={"reasons": {**plan.budget.reasons, "hours": said}})}
    )
