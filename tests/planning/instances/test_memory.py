from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.planning.instances.memory import COSTS, estimate_memory, fitting_pixels, largest_batch
from goodfit.planning.instances.plan import BackboneName, InstanceData, InstanceModel, InstancePlan


def _plan(**model: object) -> InstancePlan:
    data = InstanceData(name="made", key="key", categories=["x"], has_masks=True)
    return InstancePlan(goodfit_version="0", memory=8e9, data=data, model=InstanceModel.model_validate(model))


def test_every_backbone_has_a_cost() -> None:
    assert set(COSTS) == set(get_args(BackboneName))


@pytest.mark.parametrize(
    "more",
    [
        {"image_max_size": 900},
        {"regions_per_image": 1024},
        {"normalisation": "group"},
        {"backbone": "resnet50_v2"},
        {"region_positive_fraction": 0.5},
    ],
)
def test_more_work_takes_more_memory(more: dict[str, object]) -> None:
    assert estimate_memory(_plan(**more), 4) > estimate_memory(_plan(), 4)


def test_boxes_alone_half_precision_and_sgd_take_less() -> None:
    plan = _plan()
    assert estimate_memory(_plan(masks=False)) < estimate_memory(plan)
    for update in ({"precision": "bfloat16"}, {"optimizer": "sgd"}, {"ema": 0.0}):
        changed = plan.model_copy(update={"training": plan.training.model_copy(update=update)})
        assert estimate_memory(changed) < estimate_memory(plan)


@given(st.floats(5e8, 1e11))
def test_the_largest_batch_fits_and_one_more_does_not(memory: float) -> None:
    plan = _plan()
    batch = largest_batch(plan, memory)
    assert estimate_memory(plan, batch + 1) > memory
    if batch:
        assert estimate_memory(plan, batch) <= memory * (1 + 1e-9)


@given(st.floats(3e9, 1e11), st.integers(1, 8))
def test_fitting_pixels_fill_the_memory(memory: float, batch: int) -> None:
    pixels = fitting_pixels(_plan(), memory, batch)
    if pixels > 64 * 64:
        side = pixels**0.5
        plan = _plan().model_copy(
            update={"model": _plan().model.model_copy(update={"image_min_size": side, "image_max_size": side})}
        )
        assert estimate_memory(plan, batch) == pytest.approx(memory)
