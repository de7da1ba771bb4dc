from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from goodfit.errors import PlanError
from goodfit.planning.instances.plan import (
    LEVEL_STRIDES,
    InstanceData,
    InstanceModel,
    InstancePlan,
    InstanceTraining,
    load_instance_plan,
    parse_instance_plan,
    save_instance_plan,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def plan() -> InstancePlan:
    data = InstanceData(name="made", key="key", categories=["person", "bed"], has_masks=True)
    return InstancePlan(goodfit_version="0", memory=1e9, data=data)


def test_a_saved_plan_is_read_back_as_it_was(plan: InstancePlan, tmp_path: Path) -> None:
    save_instance_plan(plan, tmp_path / "plan.json")
    assert load_instance_plan(tmp_path / "plan.json") == plan


def test_the_file_shows_no_setting_of_patches(plan: InstancePlan) -> None:
    training = json.loads(plan.model_dump_json())["training"]
    assert "oversample_foreground" not in training
    assert training["monitor"] == "val_ap"


@pytest.mark.parametrize(
    ("section", "field", "value", "named"),
    [
        ("model", "anchor_sizes", [[16], [32], [0], [128], [256]], "model.anchor_sizes.2.0"),
        ("model", "anchor_sizes", [[16], [32]], "model.anchor_sizes"),
        ("model", "anchor_sizes", [[16], [32, 40], [64], [128], [256]], "model.anchor_sizes"),
        ("model", "anchor_sizes", [[], [], [], [], []], "model.anchor_sizes"),
        ("model", "anchor_ratios", [], "model.anchor_ratios"),
        ("model", "anchor_ratios", [1.0, -1.0], "model.anchor_ratios.1"),
        ("model", "image_min_size", 900, "image_min_size 900 is above image_max_size 640"),
        ("model", "image_min_size", 20, "model.image_min_size"),
        ("model", "rpn_background_iou", 0.9, "rpn_background_iou 0.9 is above rpn_foreground_iou 0.7"),
        ("model", "backbone", "vgg", "model.backbone"),
        ("model", "score_threshold", 1.0, "model.score_threshold"),
        ("model", "detection_per_image", 5, "model.detection_per_image"),
        ("augmentation", "scale_range", [1.2, 0.8], "augmentation.scale_range"),
        ("augmentation", "flip_vertical", 1.5, "augmentation.flip_vertical"),
        ("sampling", "duplicate_distance", 65, "sampling.duplicate_distance"),
        ("training", "oversample_foreground", 0.3, "oversample_foreground"),
        ("training", "momentum", 1.0, "training.momentum"),
        ("data", "mean", [0.5], "data.mean"),
        ("data", "std", [0.5, 0.0, 0.5], "data.std.1"),
        ("data", "categories", [], "data.categories"),
        ("data", "has_masks", False, "model.masks"),
    ],
)
def test_nonsense_is_refused_by_name(plan: InstancePlan, section: str, field: str, value: Any, named: str) -> None:
    values = json.loads(plan.model_dump_json())
    values[section][field] = value
    with pytest.raises(PlanError, match=r"edited\.json") as caught:
        parse_instance_plan(values, "edited.json")
    assert named in str(caught.value)


def test_a_plan_for_segmentation_is_refused(plan: InstancePlan) -> None:
    values = {**json.loads(plan.model_dump_json()), "kind": "segmentation"}
    with pytest.raises(PlanError, match="kind"):
        parse_instance_plan(values, "plan.json")


def test_defaults_give_every_level_its_anchors() -> None:
    model = InstanceModel()
    assert len(model.anchor_sizes) == len(LEVEL_STRIDES)
    assert model.anchors_per_position == 3
    assert InstanceModel(anchor_sizes=[[1, 2]] * 5, anchor_ratios=[1.0]).anchors_per_position == 2


def test_training_keeps_the_fields_of_segmentation_but_patches() -> None:
    assert set(InstanceTraining.model_fields) > {"optimizer", "learning_rate", "patience", "seed"}
    assert "oversample_foreground" not in InstanceTraining().model_dump()
