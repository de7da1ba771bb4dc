"""The part of planning on instances that measures this machine: step time, the fit to a time budget, hours."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from goodfit.commands.instances.building import frames_of_first_steps, make_task, store_folder
from goodfit.commands.instances.memory import machine_for, with_instance_memory
from goodfit.commands.instances.time_budget import (
    TIMED_STEPS,
    fit_instances_to_time,
    time_instance_step,
    with_hours,
)
from goodfit.commands.places import known_digests
from goodfit.preprocessing.frames_fill import fill_frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.commands.instances.prepare import PreparedInstances
    from goodfit.observer import Observer
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.training.recipe import Recipe

RESERVE_SHARE = 0.08
"""Part of the time that is set aside for scoring and report when the epochs are planned; later the clock decides."""


def measure_instance_plan(
    prepared: PreparedInstances,
    recipe: Recipe,
    observer: Observer,
    *,
    spent: float,
    refit: bool,
    replan: Callable[[float], InstancePlan] | None = None,
) -> InstancePlan:
    """Complete a plan with what depends on this machine, by timing real steps.

    Only the frames of these steps are decoded, so a plan of many videos does not wait for all of them. The caller
    holds the cache's lock.

    Args:
        prepared: the planned run.
        recipe: of the training.
        observer: told what is going on.
        spent: seconds of the time budget that are gone.
        refit: choose frames and batch for the memory, and the length of an epoch for the time; False keeps those of a
            plan that the user edited.
        replan: derives the plan for another memory; None keeps the size of the frames.
    """
    observer.stage("measure this machine")
    # Before any real step, whose memory this process keeps.
    machine = machine_for(prepared.plan, prepared.settings, prepared.fingerprint)
    plan = with_instance_memory(
        prepared.plan, prepared.settings, machine, observer, refit=refit, replan=replan, cache=prepared.cache
    )
    prepared, model = replace(prepared, plan=plan), plan.model
    names = frames_of_first_steps(prepared, 1 + TIMED_STEPS)
    store = fill_frames(
        [prepared.dataset.frame(name) for name in names],
        store_folder(prepared.cache, plan),
        model.image_min_size,
        model.image_max_size,
        digests=known_digests(prepared.cache),
    )
    seconds = time_instance_step(lambda: make_task(prepared, store, recipe, pretrained=False, workers=0), plan)
    if plan.budget.time is None:
        return with_hours(plan, seconds)
    left = (1 - RESERVE_SHARE) * plan.budget.time - spent
    fitted = fit_instances_to_time(plan, seconds, left)
    if refit:
        return fitted
    kept = {"steps_per_epoch": plan.budget.steps_per_epoch}
    reasons = {**fitted.budget.reasons}
    if "steps_per_epoch" in plan.budget.reasons:
        reasons["steps_per_epoch"] = plan.budget.reasons["steps_per_epoch"]
    return fitted.model_copy(update={"budget": fitted.budget.model_copy(update={**kept, "reasons": reasons})})
