"""The part of planning that measures this machine: precision, step time, predicted memory, the fit to the time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from goodfit.commands.memory import Machine, loader_bytes, shrunk_to_memory, with_memory
from goodfit.planning.arithmetic import describe_seconds
from goodfit.planning.growth import grow
from goodfit.planning.time_budget import (
    OVERHEAD,
    PREVIOUS_STAGE_SHARE,
    STEPS_FOR_3D,
    STEPS_PER_EPOCH,
    Candidate,
    FittedBudget,
    candidates,
    fit_to_time,
)
from goodfit.tasks.segmentation.step_time import time_step
from goodfit.training.device import choose_device, choose_precision

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

    from goodfit.observer import Observer
    from goodfit.planning.plan import Configuration, Plan
    from goodfit.settings import Settings

logger = logging.getLogger(__name__)

LEAST_RESERVE = 15.0
RESERVE_SHARE = 0.06
"""Share of a time budget set aside, at planning, for preprocessing, prediction and report."""


def with_precision(plan: Plan, settings: Settings, device: torch.device) -> Plan:
    """Choose the precision for the device, unless the user or an earlier call did."""
    if settings.training.precision is not None or "precision" in plan.training.reasons:
        return plan
    precision, reason = choose_precision(device)
    training = plan.training.model_copy(
        update={"precision": precision, "reasons": {**plan.training.reasons, "precision": reason}}
    )
    return plan.model_copy(update={"training": training})


def measure_plan(
    plan: Plan,
    settings: Settings,
    spent: float,
    observer: Observer,
    *,
    refit: bool,
    cases: int,
    cache: Path | None = None,
) -> Plan:
    """Complete a plan with what depends on this machine.

    Args:
        plan: with configuration, batch and patch.
        settings: the user's wishes.
        spent: seconds of the time budget that are gone.
        observer: told what is going on.
        refit: choose network, patch and batch for time and memory; False keeps those of a plan that the user edited.
        cases: labelled cases of the dataset.
        cache: folder that keeps what need not be traced again.

    Raises:
        PlanError: the batch cannot fit into the memory; names the predicted number and the way out.
    """
    device = choose_device(settings.machine.device)
    observer.stage("measure this machine")
    plan = with_precision(plan, settings, device)
    machine = Machine.ask(settings, device, loader=loader_bytes(plan, cases))
    if plan.budget.time is not None and refit:

        def within(configuration: Configuration) -> Configuration:
            return shrunk_to_memory(plan, configuration, settings, machine, observer, cases=cases, cache=cache)

        fitted = _fit(plan, settings, device, spent, within)
    else:
        fitted = plan
    plan = with_memory(fitted, settings, machine, observer, refit=refit, cases=cases, cache=cache)
    if plan.budget.time is None:
        plan = _predict_hours(plan, settings, device)
    return plan


def _fit(
    plan: Plan,
    settings: Settings,
    device: torch.device,
    spent: float,
    within: Callable[[Configuration], Configuration],
) -> Plan:
    limit = plan.budget.time
    assert limit is not None, "only called with a time budget"
    reserve = max(LEAST_RESERVE, RESERVE_SHARE * limit)
    wishes = settings.plan
    left = max(1.0, limit - spent - reserve)
    first_stage = _trains_first_stage(plan, settings)
    training_seconds = left * (1 - PREVIOUS_STAGE_SHARE if first_stage else 1)

    def measure(configuration: Configuration) -> float:
        return time_step(configuration, plan.data, plan.training, device)

    def fit(configuration: Configuration) -> FittedBudget:
        configuration = within(configuration)
        if plan.planner == "nnunet_file":
            ladder = [Candidate(configuration, 0)]  # the user wants this network, whatever it costs
        else:
            ladder = candidates(configuration, batch_fixed=wishes.batch_size is not None)
        return fit_to_time(ladder, training_seconds, measure, settings.budget.steps_per_epoch)

    fitted = fit(plan.chosen)
    nothing_given = wishes.configuration is None and wishes.patch_size is None and wishes.batch_size is None
    free_to_choose = nothing_given and plan.planner != "nnunet_file"
    if fitted.steps < STEPS_FOR_3D and free_to_choose and plan.chosen.dims == 3 and "2d" in plan.configurations:
        slices = fit(plan.configurations["2d"])
        if slices.steps > fitted.steps:
            reason = (
                f"the time makes {fitted.steps} steps of the smallest {plan.configuration} network, fewer than "
                f"{STEPS_FOR_3D}, and {slices.steps} steps of 2d; --configuration {plan.configuration} insists"
            )
            plan = plan.model_copy(update={"configuration": "2d", "reasons": {**plan.reasons, "configuration": reason}})
            fitted = slices
    if settings.plan.growth and plan.planner != "nnunet_file" and plan.training.schedule == "wsd":
        fitted = grow(fitted, training_seconds, measure, settings.budget.steps_per_epoch)
    before = (
        f" this stage, after {left - training_seconds:.0f} s ({PREVIOUS_STAGE_SHARE:.0%} of what is left now) for "
        f"{_first_trainings(plan, settings)}"
        if first_stage
        else ""
    )
    reasons = {
        **plan.budget.reasons,
        "time": (
            f"{describe_seconds(limit)} for the whole command, {training_seconds:.0f} s of it to train{before}: about "
            f"{fitted.steps} steps of {_said_seconds(fitted)} (validation included), {fitted.epochs} epochs; "
            "the clock decides when the cooldown begins"
        ),
    }
    updates: dict[str, object] = {
        "steps_per_epoch": fitted.steps_per_epoch,
        "expected_steps": fitted.steps,
        "reasons": reasons,
    }
    if settings.budget.steps_per_epoch is None:
        reasons["steps_per_epoch"] = (
            f"{STEPS_PER_EPOCH} as always"
            if fitted.steps_per_epoch == STEPS_PER_EPOCH
            else f"shortened from {STEPS_PER_EPOCH} so that the time makes at least 20 epochs"
        )
    if plan.training.schedule == "poly" and settings.budget.epochs is None:
        updates["epochs"] = fitted.epochs
        reasons["epochs"] = "the polynomial schedule needs a fixed end: what the time is expected to allow"
    configuration = fitted.configuration
    if configuration is not plan.chosen:
        configuration = configuration.model_copy(
            update={"reasons": {**configuration.reasons, "batch_size": fitted.reason}}
        )
    return plan.with_chosen(configuration).model_copy(update={"budget": plan.budget.model_copy(update=updates)})


def _said_seconds(fitted: FittedBudget) -> str:
    return f"{fitted.seconds_per_step:.3f} s" + (
        ", less while patches are small" if fitted.configuration.growth else ""
    )


def _trains_first_stage(plan: Plan, settings: Settings) -> bool:
    return plan.chosen.previous_stage is not None and settings.plan.previous_stage is None


def _first_trainings(plan: Plan, settings: Settings) -> str:
    return f"{settings.plan.previous_folds} trainings of {plan.chosen.previous_stage}"


def _predict_hours(plan: Plan, settings: Settings, device: torch.device) -> Plan:
    seconds = time_step(plan.chosen, plan.data, plan.training, device) * OVERHEAD
    steps = plan.budget.epochs * plan.budget.steps_per_epoch
    reason = f"{steps} steps of {seconds:.2f} s (measured here, validation included) take {describe_seconds(steps * seconds)}"
    if _trains_first_stage(plan, settings):
        assert plan.chosen.previous_stage is not None, "a cascade"
        first = time_step(plan.configurations[plan.chosen.previous_stage], plan.data, plan.training, device) * OVERHEAD
        whole = describe_seconds(settings.plan.previous_folds * steps * first)
        reason += f", and before them {_first_trainings(plan, settings)} {whole} (steps of {first:.2f} s)"
    budget = plan.budget.model_copy(update={"reasons": {**plan.budget.reasons, "hours": reason}})
    return plan.model_copy(update={"budget": budget})
