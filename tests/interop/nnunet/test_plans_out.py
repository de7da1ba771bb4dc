"""goodfit's plans in nnU-Net's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from goodfit.errors import PlanError
from goodfit.interop.nnunet.plans_out import dataset_name, nnunet_dataset_json, nnunet_plans_of
from goodfit.planning.lowres import plan_cascade
from goodfit.planning.plan import PatchStage

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.planning.plan import Plan


def test_every_key_that_nnunet_reads_is_there(tiny_plan: Callable[..., Plan]) -> None:
    values = nnunet_plans_of(
        tiny_plan(data={"transpose": [1, 2, 0]}), median_spacing=[3, 1, 1], median_shape=[9.6, 14, 12]
    )
    assert values["transpose_forward"] == [1, 2, 0]
    assert values["transpose_backward"] == [2, 0, 1]
    assert values["original_median_spacing_after_transp"] == [3.0, 1.0, 1.0]
    assert values["original_median_shape_after_transp"] == [10, 14, 12]
    assert (values["dataset_name"], values["image_reader_writer"]) == ("Dataset999_Tiny", "SimpleITKIO")
    configuration = values["configurations"]["3d_fullres"]
    assert configuration["data_identifier"] == "nnUNetPlans_3d_fullres"
    assert configuration["normalization_schemes"] == ["ZScoreNormalization"]
    assert configuration["resampling_fn_probabilities_kwargs"] == {
        "is_seg": False,
        "order": 1,
        "order_z": 0,
        "force_separate_z": None,
    }
    assert configuration["architecture"]["arch_kwargs"]["conv_op"] == "torch.nn.modules.conv.Conv3d"
    assert values["foreground_intensity_properties_per_channel"]["0"]["percentile_00_5"] == 10


def test_residual_networks_have_their_own_key(tiny_plan: Callable[..., Plan]) -> None:
    plan = tiny_plan()
    plan.chosen.network.architecture = "residual_unet"
    architecture = nnunet_plans_of(plan)["configurations"]["3d_fullres"]["architecture"]
    assert architecture["network_class_name"].endswith("unet.ResidualEncoderUNet")
    assert architecture["arch_kwargs"]["n_blocks_per_stage"] == [1, 1]


def test_regions_and_ignore_go_into_the_description(tiny_plan: Callable[..., Plan]) -> None:
    plan = tiny_plan(data={"classes": {"whole": [1, 2], "core": [2]}, "regions_order": [1, 2], "ignore": 3})
    assert nnunet_dataset_json(plan, 4) == {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3},
        "numTraining": 4,
        "file_ending": ".nii.gz",
        "name": "Dataset999_Tiny",
        "regions_class_order": [1, 2],
    }


def test_label_values_with_gaps_are_refused(tiny_plan: Callable[..., Plan]) -> None:
    with pytest.raises(PlanError, match="the label values 1 to 2 without a gap"):
        nnunet_dataset_json(tiny_plan(data={"classes": {"left": [1], "right": [5]}}), 4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Dataset004_Hippocampus", "Dataset004_Hippocampus"),
        ("Hippocampus", "Dataset999_Hippocampus"),
        ("Dataset4_X", "Dataset999_Dataset4_X"),
        ("Dataset004_", "Dataset999_Dataset004_"),
    ],
)
def test_names_get_nnunets_form(name: str, expected: str) -> None:
    assert dataset_name(name) == expected


def with_cascade(plan: Plan) -> Plan:
    lowres = plan.chosen.model_copy(update={"name": "3d_lowres"})
    configurations = {"3d_fullres": plan.chosen, "3d_lowres": lowres, "3d_cascade_fullres": plan_cascade(plan.chosen)}
    return plan.model_copy(update={"configurations": configurations})


def test_a_cascade_inherits_from_the_full_resolution(tiny_plan: Callable[..., Plan]) -> None:
    inherited = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    plan = with_cascade(tiny_plan())
    configurations = nnunet_plans_of(plan)["configurations"]
    assert configurations["3d_cascade_fullres"] == inherited
    grown = plan.configurations["3d_cascade_fullres"].model_copy(
        update={"growth": [PatchStage(until_step=3, patch_size=[4, 4, 4], batch_size=2)]}
    )
    plan = plan.model_copy(update={"configurations": {**plan.configurations, grown.name: grown}})
    assert nnunet_plans_of(plan)["configurations"] == configurations, "growth is an affair of the training"
    assert configurations["3d_lowres"]["next_stage"] == "3d_cascade_fullres"
    assert "next_stage" not in configurations["3d_fullres"]


def test_a_cascade_with_another_batch_is_written_whole(tiny_plan: Callable[..., Plan]) -> None:
    plan = with_cascade(tiny_plan())
    plan.configurations["3d_cascade_fullres"].batch_size = 5
    cascade = nnunet_plans_of(plan)["configurations"]["3d_cascade_fullres"]
    assert (cascade["batch_size"], cascade["previous_stage"]) == (5, "3d_lowres")
    assert cascade["data_identifier"] == "nnUNetPlans_3d_fullres"
