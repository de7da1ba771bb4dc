"""What is measured for a plan of instances: memory before time, and which values stay."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import goodfit
from goodfit.commands.instances import measure as module
from goodfit.commands.instances.measure import RESERVE_SHARE, measure_instance_plan
from goodfit.commands.instances.prepare import PreparedInstances
from goodfit.commands.instances.time_budget import TIMED_STEPS
from goodfit.errors import PlanError
from goodfit.preprocessing.frames import FrameStore
from goodfit.training.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from goodfit.planning.instances.plan import InstancePlan

SECONDS = 0.5


@pytest.fixture
def prepared(frames: Path, tmp_path: Path, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> PreparedInstances:
    """A planned run, whose steps take half a second from here on."""
    found = goodfit.plan(frames, run=tmp_path / "run", settings=quick)
    assert isinstance(found, PreparedInstances)
    monkeypatch.setattr(module, "time_instance_step", lambda make_task, plan: SECONDS)
    return found


def changed(prepared: PreparedInstances, time: float | None = None, **values: Any) -> PreparedInstances:
    budget = prepared.plan.budget.model_copy(
        update={"time": time, "epochs": 1000, "steps_per_epoch": 250, "reasons": {}}
    )
    return replace(prepared, plan=prepared.plan.model_copy(update={"budget": budget, **values}))


def measured(prepared: PreparedInstances, listener: Any, *, spent: float = 0.0, refit: bool = True) -> InstancePlan:
    return measure_instance_plan(prepared, Recipe(), listener, spent=spent, refit=refit)


def test_the_prediction_is_in_the_plan_and_the_hours_are_told(prepared: PreparedInstances, listener: Any) -> None:
    plan = measured(changed(prepared, predicted_memory=None, predicted_tensors=None), listener)
    assert listener.stages == ["measure this machine"]
    assert plan.predicted_tensors is not None
    assert plan.predicted_memory is not None
    assert plan.predicted_memory > plan.predicted_tensors > 0
    assert "resident in the process" in plan.reasons["predicted_memory"]
    assert "250,000 steps of" in plan.budget.reasons["hours"]


def test_only_frames_of_the_timed_steps_are_decoded(prepared: PreparedInstances, listener: Any) -> None:
    measured(prepared, listener)
    folder = prepared.cache / "frames" / "64x96"
    decoded = FrameStore(folder).names()
    assert 0 < len(decoded) <= 2 * (1 + TIMED_STEPS)
    assert set(decoded) <= set(prepared.split.train)


def test_memory_is_settled_before_anything_is_timed_or_decoded(
    prepared: PreparedInstances, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "time_instance_step", lambda *_: pytest.fail("timed"))
    monkeypatch.setattr(module, "fill_frames", lambda *_: pytest.fail("decoded"))
    with pytest.raises(PlanError, match="batch_size 50000: training is predicted to need"):
        measured(changed(prepared, batch_size=50_000), listener, refit=False)


def test_a_time_shortens_the_epochs_by_what_is_left_of_it(prepared: PreparedInstances, listener: Any) -> None:
    timed = changed(prepared, time=600.0)
    fresh, late = measured(timed, listener), measured(timed, listener, spent=300.0)
    assert fresh.budget.expected_steps is not None
    assert late.budget.expected_steps is not None
    left = (1 - RESERVE_SHARE) * 600
    assert late.budget.expected_steps / fresh.budget.expected_steps == pytest.approx((left - 300) / left, rel=0.02)
    assert fresh.budget.steps_per_epoch < 250
    assert "hours" not in fresh.budget.reasons


def test_epochs_that_the_user_edited_stay(prepared: PreparedInstances, listener: Any) -> None:
    timed = changed(prepared, time=600.0)
    reasons = {"steps_per_epoch": "edited"}
    budget = timed.plan.budget.model_copy(update={"steps_per_epoch": 17, "reasons": reasons})
    plan = measured(replace(timed, plan=timed.plan.model_copy(update={"budget": budget})), listener, refit=False)
    assert plan.budget.steps_per_epoch == 17
    assert plan.budget.reasons["steps_per_epoch"] == "edited"
    assert plan.budget.expected_steps is not None
