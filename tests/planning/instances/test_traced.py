"""Predicted memory of detectors, as a function of their plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from goodfit.planning.instances import traced
from goodfit.planning.instances.plan import InstanceAugmentation, InstanceData, InstanceModel, InstancePlan
from goodfit.planning.instances.traced import predict_instance_memory
from goodfit.planning.memory import Allowances

if TYPE_CHECKING:
    from pathlib import Path

SMALL = {
    "backbone": "mobilenet_v3",
    "image_min_size": 64,
    "image_max_size": 96,
    "regions_per_image": 16,
    "detections_per_image": 5,
    "rpn_proposals_train": 50,
}


def plan_of(batch: int = 2, training: dict[str, Any] | None = None, **model: Any) -> InstancePlan:
    data = InstanceData(name="made", key="key", categories=["x"], has_masks=True)
    plan = InstancePlan(
        goodfit_version="0",
        memory=8e9,
        data=data,
        model=InstanceModel.model_validate({**SMALL, **model}),
        augmentation=InstanceAugmentation(scale_range=[1.0, 1.0]),
        batch_size=batch,
    )
    return plan.model_copy(update={"training": plan.training.model_copy(update=training or {})})


def tensors(plan: InstancePlan, cache: Path | None = None) -> int:
    return predict_instance_memory(plan, cache=cache).tensors


@pytest.mark.parametrize(
    "more",
    [
        {"image_max_size": 192},
        {"regions_per_image": 256},
        {"regions_per_image": 64, "region_positive_fraction": 1.0},
        {"detections_per_image": 400, "image_max_size": 96},
        {"normalisation": "group"},
    ],
)
def test_more_work_takes_more(more: dict[str, Any]) -> None:
    assert tensors(plan_of(8, **more)) > tensors(plan_of(8))


def test_more_frames_take_more_in_a_straight_line() -> None:
    one, two, nine = (tensors(plan_of(batch)) for batch in (11, 12, 19))
    assert nine - one == pytest.approx(8 * (two - one), rel=0.02)
    assert two > one


def test_less_state_takes_less() -> None:
    whole = tensors(plan_of(1))
    assert tensors(plan_of(1, {"ema": 0.0})) < whole
    assert tensors(plan_of(1, {"optimizer": "sgd"})) < whole
    assert tensors(plan_of(8, masks=False)) < tensors(plan_of(8))
    assert tensors(plan_of(16, {"precision": "bfloat16"})) < tensors(plan_of(16, {"precision": "float32"}))


def test_the_largest_scale_of_the_augmentation_counts() -> None:
    plan = plan_of(8)
    scaled = plan.model_copy(update={"augmentation": InstanceAugmentation(scale_range=[0.8, 1.5])})
    assert tensors(scaled) > tensors(plan)


def test_traces_are_kept_and_batch_reasons_and_budget_need_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tensors(plan_of(2), tmp_path)
    monkeypatch.setattr(traced, "_traced", lambda *_: pytest.fail("traced again"))
    plan = plan_of(2)
    changed = plan.model_copy(
        update={
            "reasons": {"batch_size": "why"},
            "memory": 5.0,
            "budget": plan.budget.model_copy(update={"epochs": 7}),
        }
    )
    assert tensors(changed, tmp_path) == first
    assert tensors(plan_of(3), tmp_path) > first
    with pytest.raises(pytest.fail.Exception, match="traced again"):
        tensors(plan_of(2, image_max_size=128), tmp_path)


def test_on_a_gpu_there_is_no_scratch_memory_of_a_cpu() -> None:
    beside = Allowances(device="cuda", workspace=7, share=1.0)
    found = predict_instance_memory(plan_of(2), allowances=beside)
    assert found.process == found.tensors + 7
    assert "reserved on the GPU" in found.describe()
