"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.planning.plan import Plan

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

# A machine that is busy with something else is no reason to fail.
settings.register_profile("goodfit", deadline=None)
settings.load_profile("goodfit")


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Give the path of a real dataset kept beside the project; skip the test where it is not there."""

    def find(name: str) -> Path:
        folder = SHARED / name
        if not folder.is_dir():
            pytest.skip(f"real dataset {name} is not beside the project")
        return folder

    return find


def _plan_values() -> dict[str, Any]:
    statistics = {"mean": 50, "median": 50, "std": 20, "minimum": 0, "maximum": 100}
    statistics |= {"percentile_00_5": 10, "percentile_99_5": 90}
    return {
        "goodfit_version": "0",
        "memory": 1e9,
        "data": {
            "name": "Tiny",
            "key": "key",
            "channels": ["MRI"],
            "file_ending": ".nii.gz",
            "classes": {"left": [1], "right": [2]},
            "normalisation": ["zscore"],
            "use_mask": [False],
            "intensities": [statistics],
        },
        "configuration": "3d_fullres",
        "configurations": {
            "3d_fullres": {
                "name": "3d_fullres",
                "spacing": [2.0, 1.0, 1.0],
                "median_shape": [10, 14, 12],
                "patch_size": [8, 8, 8],
                "batch_size": 2,
                "batch_dice": False,
                "network": {
                    "architecture": "plain_unet",
                    "features": [4, 8],
                    "kernel_sizes": [[3, 3, 3], [3, 3, 3]],
                    "strides": [[1, 1, 1], [2, 2, 2]],
                    "encoder_blocks": [1, 1],
                    "decoder_blocks": [1],
                },
            }
        },
        "budget": {"epochs": 3, "steps_per_epoch": 4},
        "training": {},
    }


@pytest.fixture
def plan_values() -> dict[str, Any]:
    """Content of the plan.json of a tiny network, as plain values to be changed."""
    return _plan_values()


@pytest.fixture(scope="session")
def tiny_plan() -> Callable[..., Plan]:
    """Give the plan of a tiny network, with fields changed by section: ``tiny_plan(training={"seed": 3})``."""
    from goodfit.planning.plan import Plan

    def build(**changes: dict[str, Any]) -> Plan:
        values = _plan_values()
        for section, fields in changes.items():
            place = values["configurations"]["3d_fullres"] if section == "configuration" else values[section]
            place.update(fields)
        return Plan.model_validate(values)

    return build


@pytest.fixture
def nnunet_model(tmp_path: Path, tiny_plan: Callable[..., Plan]) -> Callable[..., Path]:
    """Write a folder as nnU-Net trains it, TRAINER__PLANS__CONFIGURATION, with networks as they are drawn."""
    import json

    import torch

    from goodfit.interop.nnunet.plans_out import nnunet_dataset_json, nnunet_plans_of
    from goodfit.tasks.segmentation.network import build_network

    def build(
        folds: tuple[str, ...] = ("0",),
        *,
        folder: Path = tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres",
        names: tuple[str, ...] = ("checkpoint_final.pth",),
        plans: dict[str, Any] | None = None,
        mirror: tuple[int, ...] | None = (0, 1, 2),
        **extra: Any,
    ) -> Path:
        plan = tiny_plan()
        content = plans or nnunet_plans_of(plan, name="Dataset001_Tiny")
        description = nnunet_dataset_json(plan, 5, name="Dataset001_Tiny")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "plans.json").write_text(json.dumps(content))
        (folder / "dataset.json").write_text(json.dumps(description))
        for fold in folds:
            (folder / f"fold_{fold}").mkdir(exist_ok=True)
            for number, name in enumerate(names):
                torch.manual_seed(len(name) + 7 * number + sum(map(ord, fold)))
                network = build_network(plan.chosen.network, 1, 3, 3)
                for parameter in network.parameters():
                    parameter.data.add_(torch.randn_like(parameter) * 0.1)
                checkpoint = {
                    "network_weights": network.state_dict(),
                    "optimizer_state": {"state": {}, "param_groups": []},
                    "logging": {"mean_fg_dice": [], "lrs": [0.01]},
                    "_best_ema": None,
                    "current_epoch": 7,
                    "init_args": {
                        "plans": content,
                        "configuration": "3d_fullres",
                        "fold": fold,
                        "dataset_json": description,
                        "device": torch.device("cpu"),
                    },
                    "trainer_name": "nnUNetTrainer",
                    "inference_allowed_mirroring_axes": mirror,
                    **extra,
                }
                torch.save(checkpoint, folder / f"fold_{fold}" / name)
        return folder

    return build
