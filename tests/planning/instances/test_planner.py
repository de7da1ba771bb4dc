from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.data.instances.dataset import open_instances
from goodfit.errors import PlanError
from goodfit.planning.instances.anchors import DEFAULT_RATIOS, DEFAULT_SIZES, mean_best_iou
from goodfit.planning.instances.boxes import scaled_boxes
from goodfit.planning.instances.fingerprint import measure_instances
from goodfit.planning.instances.plan import InstancePlan, load_instance_plan, save_instance_plan
from goodfit.planning.instances.planner import make_instance_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Make = "Callable[..., Any]"


@pytest.fixture(scope="session")
def planned(frame: Make, dataset: Make, split_of: Make) -> Callable[..., InstancePlan]:
    """Plan for frames with two objects each, one large and one small."""

    def make(*, factor: float = 1.0, has_masks: bool = True, **options: Any) -> InstancePlan:
        frames = [
            frame(
                f"f{n}",
                [(0, 0, factor * (40 + n), factor * 80), (0, 0, factor * 20, factor * 30)],
                number=n,
                size=(round(480 * factor), round(640 * factor)),
            )
            for n in range(30)
        ]
        made = dataset(frames, has_masks=has_masks)
        return make_instance_plan(made, measure_instances(made, key="key"), split_of(made), **options)

    return make


def test_every_derived_value_has_its_reason(planned: Make) -> None:
    plan = planned()
    assert set(plan.model.reasons) >= {
        "backbone",
        "weights",
        "normalisation",
        "image_min_size",
        "image_max_size",
        "anchor_sizes",
        "anchor_ratios",
        "regions_per_image",
        "detections_per_image",
        "score_threshold",
    }
    assert {"memory", "batch_size", "predicted_memory"} <= set(plan.reasons)
    for section in (plan, plan.data, plan.model, plan.augmentation, plan.sampling, plan.budget, plan.training):
        assert set(section.reasons) <= set(type(section).model_fields)
        assert all(section.reasons.values())


def test_the_plan_survives_its_file(planned: Make, tmp_path: Path) -> None:
    plan = planned()
    save_instance_plan(plan, tmp_path / "plan.json")
    assert load_instance_plan(tmp_path / "plan.json") == plan


@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_anchors_do_not_depend_on_the_resolution_of_the_files(planned: Make, factor: float) -> None:
    """At one input size, larger files with larger boxes look the same to the network."""
    size = {"model.image_min_size": 480}
    plain, large = planned(wishes=size), planned(factor=factor, wishes=size)
    assert plain.model.anchor_sizes == large.model.anchor_sizes
    assert plain.model.anchor_ratios == large.model.anchor_ratios


def test_what_depends_on_a_wish_follows_it(planned: Make) -> None:
    plan = planned(wishes={"model.image_min_size": 960, "plan.batch_size": 8, "training.optimizer": "sgd"})
    assert plan.model.image_max_size == 1280
    assert plan.training.learning_rate == pytest.approx(0.01)
    assert plan.training.optimizer == "sgd"
    twice = planned(wishes={"model.image_min_size": 480})
    assert plan.model.anchor_sizes[2][0] == pytest.approx(2 * twice.model.anchor_sizes[1][0], rel=0.01)
    scratch = planned(wishes={"model.weights": "none"})
    assert scratch.model.normalisation == "group"


def test_coco_weights_keep_three_anchors(planned: Make) -> None:
    plan = planned(wishes={"model.weights": "coco", "model.backbone": "resnet50"})
    assert plan.model.anchors_per_position == 3
    assert plan.model.frozen_stages == 2


def test_boxes_alone_plan_no_masks(planned: Make) -> None:
    plan = planned(has_masks=False)
    assert not plan.model.masks
    with pytest.raises(PlanError, match=r"model\.masks"):
        planned(has_masks=False, wishes={"model.masks": True})


def test_little_memory_gives_smaller_frames_and_batches(planned: Make) -> None:
    roomy, tight = planned(memory=16e9), planned(memory=1.3e9)
    assert tight.model.image_min_size < roomy.model.image_min_size
    assert tight.batch_size <= roomy.batch_size
    assert tight.predicted_memory is not None
    assert tight.predicted_memory <= 1.3e9
    with pytest.raises(PlanError, match="do not hold a single frame"):
        planned(memory=9e8)


@given(memory=st.floats(1.2e9, 8e10), device=st.sampled_from(["cpu", "cuda"]))
def test_the_plan_fits_the_memory(planned: Make, memory: float, device: str) -> None:
    try:
        plan = planned(memory=memory, device=device)
    except PlanError:
        assert memory < 3e9
        return
    assert plan.predicted_memory is not None
    assert plan.predicted_memory <= memory


def test_a_gpu_gets_the_larger_backbone(planned: Make) -> None:
    plan = planned(memory=4e10, device="cuda")
    assert plan.model.backbone == "resnet50_v2"
    assert plan.batch_size == 16


def test_a_foreign_fingerprint_or_no_memory_is_refused(
    frame: Make, dataset: Make, split_of: Make, planned: Make
) -> None:
    made = dataset([frame("a")])
    other = measure_instances(dataset([frame("a")], ["else"]), key="key")
    with pytest.raises(PlanError, match="other categories"):
        make_instance_plan(made, other, split_of(made))
    with pytest.raises(PlanError, match="no amount of memory"):
        planned(memory=0.0)


GOLDEN = {
    "dsb2018": (352, 440, 4, 512, 170, 0.5, 0.71, 0.44),
    "borrat": (320, 320, 4, 64, 20, 0.0, 0.80, 0.67),
    "kidney_stone_boxes": (640, 782, 2, 160, 20, 0.0, 0.74, 0.41),
    "bav_classroom": (640, 640, 2, 512, 40, 0.0, 0.79, 0.70),
}
"""Sides, batch, regions, detections, vertical flips, mean best IoU of the plan's and of torchvision's anchors."""


@pytest.mark.parametrize("name", GOLDEN)
def test_real_sets(shared_data: Callable[[str], Path], split_of: Make, name: str) -> None:
    dataset = open_instances(shared_data(name))
    fingerprint = measure_instances(dataset, key="key")
    plan = make_instance_plan(dataset, fingerprint, split_of(dataset))
    model = plan.model
    boxes = scaled_boxes(fingerprint.box_array(), model.image_min_size, model.image_max_size)
    fit = mean_best_iou(boxes, model.anchor_sizes, model.anchor_ratios)
    default_fit = mean_best_iou(boxes, DEFAULT_SIZES, DEFAULT_RATIOS)
    assert (
        model.image_min_size,
        model.image_max_size,
        plan.batch_size,
        model.regions_per_image,
        model.detections_per_image,
        plan.augmentation.flip_vertical,
        round(fit, 2),
        round(default_fit, 2),
    ) == GOLDEN[name]
    assert f"{default_fit:.2f}" in model.reasons["anchor_sizes"]
