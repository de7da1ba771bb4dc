"""From nnU-Net's plans to goodfit's, and there and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from goodfit.data.description import Description, read_description
from goodfit.data.labels import Labels
from goodfit.errors import PlanError
from goodfit.interop.nnunet.plan_in import plan_from_nnunet
from goodfit.interop.nnunet.plans_file import parse_nnunet_plans
from goodfit.interop.nnunet.plans_out import nnunet_dataset_json, nnunet_plans_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.planning.plan import Plan

DESCRIPTION = Description("Tiny", ("MRI",), Labels({"left": (1,), "right": (2,)}), ".nii.gz", None)


def flat_configuration(values: dict[str, Any]) -> dict[str, Any]:
    """A 2d configuration of a tiny plans file."""
    full = values["configurations"]["3d_fullres"]
    arguments = full["architecture"]["arch_kwargs"] | {
        "conv_op": "torch.nn.modules.conv.Conv2d",
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
        "kernel_sizes": 3,
        "strides": [1, 2],
    }
    return {
        **full,
        "patch_size": [8, 8],
        "spacing": [1.0, 1.0],
        "median_image_size_in_voxels": [14.0, 12.0],
        "architecture": {**full["architecture"], "arch_kwargs": arguments},
        "batch_dice": True,
    }


def test_there_and_back_nothing_changes(tiny_plan: Callable[..., Plan], tmp_path: Path) -> None:
    plan = tiny_plan(data={"transpose": [2, 0, 1], "normalisation": ["ct"], "use_mask": [False]})
    values = nnunet_plans_of(plan, name="Dataset001_Tiny")
    (tmp_path / "dataset.json").write_text(json.dumps(nnunet_dataset_json(plan, 5)))
    back = plan_from_nnunet(
        parse_nnunet_plans(values, "plans.json"), read_description(tmp_path / "dataset.json"), "3d_fullres", key="k"
    )
    parts = {"reasons", "name", "key"}
    assert back.data.model_dump(exclude=parts) == plan.data.model_dump(exclude=parts)
    assert (back.data.key, back.data.name) == ("k", "Dataset001_Tiny")
    without = {"reasons": True, "network": {"reasons"}}
    assert back.chosen.model_dump(exclude=without) == plan.chosen.model_dump(exclude=without)
    assert "plans.json" in back.chosen.reasons["patch_size"]
    assert nnunet_plans_of(back) == values


def test_a_2d_configuration_gets_the_axis_that_nnunet_leaves_out(tiny_plan: Callable[..., Plan]) -> None:
    values = nnunet_plans_of(tiny_plan())
    values["configurations"]["2d"] = flat_configuration(values)
    plan = plan_from_nnunet(parse_nnunet_plans(values, "plans.json"), DESCRIPTION, "2d")
    assert plan.configuration == "2d"
    assert set(plan.configurations) == {"2d", "3d_fullres"}
    assert plan.chosen.spacing == [2.0, 1.0, 1.0]
    assert plan.chosen.median_shape == [10.0, 14.0, 12.0]
    values["configurations"].pop("3d_fullres")
    values |= {"original_median_spacing_after_transp": [7, 1, 1], "original_median_shape_after_transp": [5, 14, 12]}
    alone = plan_from_nnunet(parse_nnunet_plans(values, "plans.json"), DESCRIPTION, "2d")
    assert alone.chosen.spacing[0] == 7
    assert alone.chosen.median_shape[0] == 5


def test_others_that_cannot_be_taken_over_are_left_out_and_said(tiny_plan: Callable[..., Plan]) -> None:
    values = nnunet_plans_of(tiny_plan())
    values["configurations"]["mine"] = {"inherits_from": "3d_fullres", "preprocessor_name": "Mine"}
    plan = plan_from_nnunet(parse_nnunet_plans(values, "plans.json"), DESCRIPTION, "3d_fullres")
    assert list(plan.configurations) == ["3d_fullres"]
    assert "configurations.mine.preprocessor_name" in plan.reasons["configurations"]
    with pytest.raises(PlanError, match=r"configurations\.mine\.preprocessor_name"):
        plan_from_nnunet(parse_nnunet_plans(values, "plans.json"), DESCRIPTION, "mine")


@pytest.mark.parametrize(
    ("planner", "gigabytes"),
    [
        ("ExperimentPlanner", 8),
        ("nnUNetPlannerResEncM", 8),
        ("nnUNetPlannerResEncL", 24),
        ("nnUNetPlannerResEncXL", 40),
    ],
)
def test_memory_is_what_the_planner_aims_at(tiny_plan: Callable[..., Plan], planner: str, gigabytes: int) -> None:
    values = {**nnunet_plans_of(tiny_plan()), "experiment_planner_used": planner}
    plan = plan_from_nnunet(parse_nnunet_plans(values, "plans.json"), DESCRIPTION, "3d_fullres")
    assert plan.memory == gigabytes * 1e9
    assert planner in plan.reasons["memory"]


def test_plans_and_dataset_that_contradict_each_other_are_refused(tiny_plan: Callable[..., Plan]) -> None:
    plans = parse_nnunet_plans(nnunet_plans_of(tiny_plan()), "plans.json")
    two = Description("Tiny", ("T1", "T2"), DESCRIPTION.labels, ".nii.gz", None)
    with pytest.raises(PlanError, match=r"normalization_schemes has 1 entries, dataset\.json names 2 channels"):
        plan_from_nnunet(plans, two, "3d_fullres")
    with pytest.raises(PlanError, match="has no file_ending"):
        plan_from_nnunet(plans, Description("Tiny", ("MRI",), DESCRIPTION.labels, None, None), "3d_fullres")
    values = nnunet_plans_of(tiny_plan())
    values["foreground_intensity_properties_per_channel"] = {}
    with pytest.raises(PlanError, match=r"foreground_intensity_properties_per_channel\.0: missing"):
        plan_from_nnunet(parse_nnunet_plans(values, "plans.json"), DESCRIPTION, "3d_fullres")
