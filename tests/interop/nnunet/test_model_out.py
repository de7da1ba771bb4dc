"""A trained model in nnU-Net's folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch

from goodfit.interop.nnunet.model_out import TRAINER, model_folder_name, write_nnunet_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.planning.plan import Plan


def test_the_folder_is_named_after_trainer_plans_and_configuration() -> None:
    assert str(model_folder_name("2d")) == "nnUNetTrainer__nnUNetPlans__2d"


def test_each_fold_has_its_checkpoint_and_all_share_the_plans(tiny_plan: Callable[..., Plan], tmp_path: Path) -> None:
    networks = {"0": torch.nn.Linear(2, 3), "all": torch.nn.Linear(2, 3)}
    write_nnunet_model(tmp_path, tiny_plan(), networks, dataset="Dataset007_Tiny", cases=9, epochs={"0": 4, "all": 6})
    assert {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()} == {
        "plans.json",
        "dataset.json",
        "fold_0/checkpoint_final.pth",
        "fold_all/checkpoint_final.pth",
    }
    plans = json.loads((tmp_path / "plans.json").read_text())
    assert plans["dataset_name"] == "Dataset007_Tiny"
    assert json.loads((tmp_path / "dataset.json").read_text())["numTraining"] == 9
    for fold, written, epoch in (("0", 0, 4), ("all", "all", 6)):
        checkpoint = torch.load(tmp_path / f"fold_{fold}" / "checkpoint_final.pth", weights_only=True)
        assert (checkpoint["init_args"]["fold"], checkpoint["current_epoch"]) == (written, epoch)
        assert checkpoint["init_args"]["plans"] == plans
        assert checkpoint["trainer_name"] == TRAINER
        weights = networks[fold].state_dict()
        assert all(torch.equal(checkpoint["network_weights"][name], weights[name]) for name in weights)


def test_no_mirroring_is_none(tiny_plan: Callable[..., Plan], tmp_path: Path) -> None:
    plan = tiny_plan(configuration={"mirror_axes": []})
    write_nnunet_model(tmp_path, plan, {"0": torch.nn.Linear(1, 1)}, dataset="Dataset001_A", cases=1, epochs={"0": 1})
    checkpoint = torch.load(tmp_path / "fold_0" / "checkpoint_final.pth", weights_only=True)
    assert checkpoint["inference_allowed_mirroring_axes"] is None
