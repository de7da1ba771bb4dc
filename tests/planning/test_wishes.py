"""What the user asks for replaces what was derived, with that as its reason."""

from __future__ import annotations

import pytest

from goodfit.errors import PlanError
from goodfit.planning.plan import Configuration, Data, IntensityStatistics, NetworkPlan, Plan
from goodfit.planning.wishes import ASKED, apply_wishes
from goodfit.settings import build_settings


def derived() -> Plan:
    network = NetworkPlan(
        architecture="plain_unet",
        features=[32, 64, 128, 256],
        kernel_sizes=[[3, 3, 3]] * 4,
        strides=[[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2]],
        encoder_blocks=[2] * 4,
        decoder_blocks=[2] * 3,
    )
    configuration = Configuration(
        name="3d_fullres",
        spacing=[1, 1, 1],
        median_shape=[36, 50, 35],
        patch_size=[40, 56, 40],
        batch_size=9,
        batch_dice=False,
        network=network,
    )
    statistics = IntensityStatistics(
        mean=0, median=0, std=1, minimum=-1, maximum=1, percentile_00_5=-1, percentile_99_5=1
    )
    data = Data(
        name="d",
        key="k",
        channels=["MRI"],
        file_ending=".nii.gz",
        classes={"a": [1]},
        normalisation=["zscore"],
        use_mask=[False],
        intensities=[statistics],
    )
    return Plan(
        goodfit_version="0",
        memory=8e9,
        data=data,
        configuration="3d_fullres",
        configurations={"3d_fullres": configuration},
    )


def test_without_wishes_only_the_defaults_are_explained() -> None:
    plan = apply_wishes(derived(), build_settings({}), 200)
    assert plan.chosen == derived().chosen
    assert plan.training.optimizer == "adamw"
    assert plan.budget.epochs == 1000


def test_wishes_replace_values_and_are_recorded() -> None:
    wishes = {"plan.batch_size": 3, "budget.epochs": "7", "budget.time": "1h", "training.learning_rate": 0.01}
    plan = apply_wishes(derived(), build_settings(wishes), 200)
    assert plan.chosen.batch_size == 3
    assert plan.chosen.reasons["batch_size"] == ASKED
    assert (plan.budget.epochs, plan.budget.time) == (7, 3600.0)
    assert plan.budget.reasons["epochs"] == ASKED
    assert plan.training.learning_rate == 0.01
    assert plan.training.reasons["learning_rate"] == ASKED


def test_a_new_patch_derives_network_and_batch_anew() -> None:
    plan = apply_wishes(derived(), build_settings({"plan.patch_size": "32x32x32"}), 200)
    assert plan.chosen.patch_size == [32, 32, 32]
    assert plan.chosen.batch_size != 9


def test_patience_off_and_sgd() -> None:
    plan = apply_wishes(derived(), build_settings({"training.patience": "off", "training.optimizer": "sgd"}), 200)
    assert plan.training.patience is None
    assert plan.training.learning_rate == 1e-2
    assert plan.training.reasons["optimizer"] == ASKED


def test_an_impossible_patch_is_refused() -> None:
    with pytest.raises(PlanError, match="patch_size"):
        apply_wishes(derived(), build_settings({"plan.patch_size": "41x57x41"}), 200)


def test_a_previous_stage_is_for_cascades_alone() -> None:
    for name, value in (("previous_stage", "runs/lowres"), ("previous_folds", 5)):
        with pytest.raises(
            PlanError, match=f"plan.{name}: 3d_fullres has no previous stage. Add -c 3d_cascade_fullres"
        ):
            apply_wishes(derived(), build_settings({f"plan.{name}": value}), 40)
