"""Fitting a plan to this machine, with the measuring itself replaced by arithmetic."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch

from goodfit.commands import measure as module
from goodfit.commands import memory as memory_module
from goodfit.commands.measure import LEAST_RESERVE, RESERVE_SHARE, measure_plan, with_precision
from goodfit.errors import PlanError
from goodfit.planning.lowres import plan_cascade
from goodfit.planning.memory import Allowances, MemoryModel, MemoryPrediction
from goodfit.planning.time_budget import MIN_EPOCHS, OVERHEAD, STEPS_PER_EPOCH
from goodfit.settings import build_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.planning.plan import Configuration, Plan

WIDE = {
    "architecture": "plain_unet",
    "features": [32, 64],
    "kernel_sizes": [[3, 3, 3]] * 2,
    "strides": [[1, 1, 1], [2, 2, 2]],
    "encoder_blocks": [1, 1],
    "decoder_blocks": [1],
}
CPU = {"machine.device": "cpu"}
NOTHING_BESIDE = Allowances(workspace=0, share=1.0)


def predicted(batch: int, per_sample: float) -> MemoryPrediction:
    """A mebibyte and what each sample takes."""
    return MemoryModel(((2**20, round(per_sample)),), NOTHING_BESIDE).predict(batch)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """A machine whose steps take a millisecond per feature, with memory to be chosen."""
    memory = {"free": 1e12, "per_sample": 2**20}

    def predict(configuration: Configuration, *_: Any, **__: Any) -> MemoryPrediction:
        return predicted(configuration.batch_size, memory["per_sample"])

    def step(configuration: Configuration, *_: Any) -> float:
        return 0.001 * configuration.network.features[0]

    monkeypatch.setattr(memory_module, "predict_training_memory", predict)
    monkeypatch.setattr(memory_module, "available_memory", lambda device: int(memory["free"]))
    monkeypatch.setattr(memory_module, "allowances_on", lambda device, **_: NOTHING_BESIDE)
    monkeypatch.setattr(module, "time_step", step)
    monkeypatch.setattr(module, "choose_precision", lambda device: ("bfloat16", f"pays on {device}"))
    return memory


def measured(plan: Plan, listener: Any, *, spent: float = 0.0, refit: bool = True, **settings: Any) -> Plan:
    asked = {name.replace("__", "."): value for name, value in settings.items()}
    return measure_plan(plan, build_settings({**CPU, **asked}), spent, listener, refit=refit, cases=5)


def test_precision_is_chosen_for_the_device_unless_asked_for(tiny_plan: Callable[..., Plan]) -> None:
    plan = tiny_plan(training={"reasons": {"seed": "kept"}})
    chosen = with_precision(plan, build_settings({}), torch.device("cpu"))
    assert chosen.training.precision == "bfloat16"
    assert chosen.training.reasons == {"seed": "kept", "precision": "pays on cpu"}
    assert plan.training.precision == "float32"
    asked = with_precision(plan, build_settings({"training.precision": "float32"}), torch.device("cpu"))
    assert asked is plan


def test_without_a_time_the_hours_are_predicted(tiny_plan: Callable[..., Plan], listener: Any) -> None:
    plan = measured(tiny_plan(budget={"epochs": 1000, "steps_per_epoch": 250}), listener)
    assert listener.stages == ["measure this machine"]
    assert plan.predicted_memory == predicted(2, 2**20).process
    assert "a batch of 2" in plan.reasons["predicted_memory"]
    assert pytest.approx(1120) == 250_000 * 0.004 * OVERHEAD  # 19 minutes
    assert "250000 steps of 0.00 s" in plan.budget.reasons["hours"]
    assert plan.budget.reasons["hours"].endswith("take 19 min")
    assert plan.budget.expected_steps is None


def test_a_long_time_buys_the_planned_network(tiny_plan: Callable[..., Plan], listener: Any) -> None:
    plan = measured(tiny_plan(configuration={"network": WIDE}, budget={"time": 600.0}), listener)
    assert plan.chosen.network.features == [32, 64]
    training_seconds = 600 - RESERVE_SHARE * 600
    assert plan.budget.expected_steps == int(training_seconds / (0.032 * OVERHEAD))
    assert plan.budget.steps_per_epoch == STEPS_PER_EPOCH
    assert "250 as always" in plan.budget.reasons["steps_per_epoch"]
    assert "564 s of it to train" in plan.budget.reasons["time"]
    assert "hours" not in plan.budget.reasons


def test_a_short_time_buys_a_narrower_one_with_shorter_epochs(tiny_plan: Callable[..., Plan], listener: Any) -> None:
    plan = measured(tiny_plan(configuration={"network": WIDE}, budget={"time": 60.0}), listener)
    assert plan.chosen.network.features == [16, 32]
    assert "fitted to 45 s" in plan.chosen.reasons["batch_size"]
    steps = int((60 - LEAST_RESERVE) / (0.016 * OVERHEAD))
    assert plan.budget.expected_steps == steps
    assert plan.budget.steps_per_epoch < STEPS_PER_EPOCH
    assert steps // plan.budget.steps_per_epoch >= MIN_EPOCHS
    assert "shortened from 250" in plan.budget.reasons["steps_per_epoch"]
    assert plan.budget.epochs == 3, "the clock ends the training, not the epochs"


def test_a_cascade_shares_its_time_with_the_first_stage(tiny_plan: Callable[..., Plan], listener: Any) -> None:
    base = tiny_plan(budget={"time": 600.0, "epochs": 1000, "steps_per_epoch": 250})
    lowres = base.chosen.model_copy(update={"name": "3d_lowres"})
    both = {"3d_fullres": base.chosen, "3d_lowres": lowres, "3d_cascade_fullres": plan_cascade(base.chosen)}
    plan = base.model_copy(update={"configurations": both, "configuration": "3d_cascade_fullres"})
    whole = measured(plan, listener, plan__previous_stage="somewhere").budget
    half = measured(plan, listener).budget
    assert whole.expected_steps is not None
    assert half.expected_steps is not None
    assert abs(half.expected_steps - whole.expected_steps / 2) <= 1
    assert (
        "282 s of it to train this stage, after 282 s (50% of what is left now) for 3 trainings of 3d_lowres"
        in (half.reasons["time"])
    )
    assert "3d_lowres" not in whole.reasons["time"]
    untimed = measured(plan.model_copy(update={"budget": base.budget.model_copy(update={"time": None})}), listener)
    words = "take 19 min, and before them 3 trainings of 3d_lowres 56 min (steps of 0.00 s)"
    assert untimed.budget.reasons["hours"].endswith(words)


def test_spent_seconds_are_gone(tiny_plan: Callable[..., Plan], listener: Any) -> None:
    plan = tiny_plan(configuration={"network": WIDE}, budget={"time": 600.0})
    all_of_it, half = measured(plan, listener), measured(plan, listener, spent=300.0)
    assert all_of_it.budget.expected_steps is not None
    assert half.budget.expected_steps is not None
    assert half.budget.expected_steps < 0.5 * all_of_it.budget.expected_steps
    overspent = measured(plan, listener, spent=1e4)
    assert overspent.budget.expected_steps is not None
    assert 1 <= overspent.budget.expected_steps < 150


def test_a_plan_that_the_user_edited_is_not_refitted(tiny_plan: Callable[..., Plan], listener: Any) -> None:
    plan = tiny_plan(configuration={"network": WIDE}, budget={"time": 60.0, "expected_steps": 17})
    kept = measured(plan, listener, refit=False)
    assert kept.chosen == plan.chosen
    assert kept.budget == plan.budget
    assert kept.predicted_memory is not None


def test_the_polynomial_schedule_gets_a_fixed_end(tiny_plan: Callable[..., Plan], listener: Any) -> None:
    plan = tiny_plan(budget={"time": 60.0}, training={"schedule": "poly"})
    fitted = measured(plan, listener)
    assert fitted.budget.expected_steps is not None
    assert fitted.budget.epochs == fitted.budget.expected_steps // fitted.budget.steps_per_epoch
    assert "fixed end" in fitted.budget.reasons["epochs"]
    assert measured(plan, listener, budget__epochs=3).budget.epochs == 3


def test_steps_per_epoch_that_were_asked_for_stay(tiny_plan: Callable[..., Plan], listener: Any) -> None:
    plan = tiny_plan(budget={"time": 60.0, "steps_per_epoch": 7, "reasons": {"steps_per_epoch": "asked for"}})
    fitted = measured(plan, listener, budget__steps_per_epoch=7)
    assert fitted.budget.steps_per_epoch == 7
    assert fitted.budget.reasons["steps_per_epoch"] == "asked for"


def test_a_batch_that_cannot_fit_is_refused(
    tiny_plan: Callable[..., Plan], listener: Any, machine: dict[str, float]
) -> None:
    machine["free"] = 1000
    with pytest.raises(PlanError, match="batch_size 2: training is predicted to need"):
        measured(tiny_plan(), listener)


def test_more_memory_than_asked_for_is_warned_of(
    tiny_plan: Callable[..., Plan], listener: Any, machine: dict[str, float]
) -> None:
    machine["per_sample"] = 2**30
    measured(tiny_plan(), listener, plan__memory="8GB")
    assert listener.notes == []
    measured(tiny_plan(), listener, plan__memory="1GB")
    (note,) = listener.notes
    assert note.startswith("warning: a batch of 2 takes 2.00 GiB in tensors")
    assert "--batch-size" in note


def test_a_time_too_short_for_3d_trains_slices_unless_the_user_insists(
    tiny_plan: Callable[..., Plan], listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tiny_plan(configuration={"network": WIDE}, budget={"time": 60.0})
    slices = plan.chosen.model_copy(
        update={
            "name": "2d",
            "patch_size": plan.chosen.patch_size[1:],
            "network": plan.chosen.network.model_copy(
                update={
                    "strides": [stride[1:] for stride in plan.chosen.network.strides],
                    "kernel_sizes": [kernel[1:] for kernel in plan.chosen.network.kernel_sizes],
                }
            ),
        }
    )
    plan = plan.model_copy(update={"configurations": {**plan.configurations, "2d": slices}})
    monkeypatch.setattr(
        "goodfit.commands.measure.time_step", lambda configuration, *_: 1.0 if configuration.dims == 3 else 0.01
    )
    fitted = measure_plan(plan, build_settings({"machine.device": "cpu"}), 0.0, listener, refit=True, cases=5)
    assert fitted.configuration == "2d"
    assert "insists" in fitted.reasons["configuration"]
    insisting = build_settings({"machine.device": "cpu", "plan.configuration": "3d_fullres"})
    assert measure_plan(plan, insisting, 0.0, listener, refit=True, cases=5).configuration == "3d_fullres"


LARGE = {"network": WIDE, "patch_size": [16, 16, 16]}


def test_a_time_is_begun_with_small_patches_unless_they_are_switched_off(
    tiny_plan: Callable[..., Plan], listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(configuration: Configuration, *_: Any) -> float:
        return 1e-5 * configuration.batch_size * math.prod(configuration.patch_size)

    monkeypatch.setattr(module, "time_step", step)
    plan = tiny_plan(configuration=LARGE, budget={"time": 600.0})
    grown = measured(plan, listener)
    assert [stage.patch_size for stage in grown.chosen.growth] == [[6, 6, 6], [10, 10, 10]]
    assert "small patches first" in grown.chosen.reasons["growth"]
    assert ", less while patches are small" in grown.budget.reasons["time"]
    even = measured(plan, listener, plan__growth=False)
    assert even.chosen.growth == []
    assert even.budget.expected_steps is not None
    assert grown.budget.expected_steps is not None
    assert grown.budget.expected_steps > even.budget.expected_steps
    poly = tiny_plan(configuration=LARGE, budget={"time": 600.0}, training={"schedule": "poly"})
    assert measured(poly, listener).chosen.growth == [], "nnU-Net's own schedule comes with its own patches"
    assert measured(tiny_plan(configuration=LARGE), listener).chosen.growth == []
