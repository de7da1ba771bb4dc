"""Epochs that fit into a time, and the steps that are timed for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

import goodfit
from goodfit.commands.instances.building import fill_store, make_task
from goodfit.commands.instances.prepare import PreparedInstances
from goodfit.commands.instances.time_budget import (
    LEAST_STEPS,
    LONGEST_EPOCH,
    fit_instances_to_time,
    time_instance_step,
    with_hours,
)
from goodfit.planning.instances.plan import InstancePlan
from goodfit.planning.time_budget import AIMED_EPOCHS, FITTED, OVERHEAD
from goodfit.training.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

DATA = {"name": "rooms", "key": "key", "categories": ["person"], "has_masks": True}


def plan(**budget: Any) -> InstancePlan:
    return InstancePlan.model_validate({"goodfit_version": "0", "memory": 1e9, "data": DATA, "budget": budget})


@pytest.mark.parametrize(
    ("seconds", "length", "expected"),
    [
        (1000 * OVERHEAD, 1000 // AIMED_EPOCHS, 1000),
        (100_000 * OVERHEAD, LONGEST_EPOCH, 100_000),
        (60 * OVERHEAD, LEAST_STEPS, 60),
        (-3.0, LEAST_STEPS, LEAST_STEPS),
    ],
)
def test_an_epoch_is_short_enough_for_curves(seconds: float, length: int, expected: int) -> None:
    budget = fit_instances_to_time(plan(time=60), 1.0, seconds + 1e-6).budget
    assert (budget.steps_per_epoch, budget.expected_steps) == (length, expected)
    assert budget.reasons["steps_per_epoch"].startswith(FITTED)
    assert f"{expected} steps of {OVERHEAD:.2f} s" in budget.reasons["time"]


def test_an_epoch_that_was_asked_for_stays() -> None:
    given = plan(time=60, steps_per_epoch=7, reasons={"steps_per_epoch": "asked for"})
    budget = fit_instances_to_time(given, 1.0, 1000.0).budget
    assert budget.steps_per_epoch == 7
    assert budget.reasons["steps_per_epoch"] == "asked for"
    assert given.budget.expected_steps != budget.expected_steps, "the plan that was given is as it was"


def test_the_hours_of_a_whole_budget_are_told() -> None:
    said = with_hours(plan(epochs=10, steps_per_epoch=100), 3.6 / OVERHEAD).budget.reasons["hours"]
    assert said.startswith("1,000 steps of 3.60 s (measured here, validation included) take")
    assert "patience usually ends a training before" in said


def test_timing_trains_a_network_of_its_own_and_leaves_the_random_state_alone(
    frames: Path, tmp_path: Path, quick: dict[str, Any], listener: Any
) -> None:
    prepared = goodfit.plan(frames, run=tmp_path / "run", settings=quick)
    assert isinstance(prepared, PreparedInstances)
    store, made = fill_store(prepared, listener), []

    def build() -> Any:
        made.append(make_task(prepared, store, Recipe(), pretrained=False, workers=0))
        return made[-1]

    torch.manual_seed(5)
    before = torch.get_rng_state()
    seconds = time_instance_step(build, prepared.plan)
    assert seconds > 0
    assert len(made) == 1
    assert torch.equal(torch.get_rng_state(), before)
