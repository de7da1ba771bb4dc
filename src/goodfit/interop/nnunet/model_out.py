"""Writing a trained model as nnU-Net does, so that nnUNetv2_predict loads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from goodfit.files import replacing, write_json
from goodfit.interop.nnunet.model_folder import FINAL
from goodfit.interop.nnunet.plans_out import PLANS_NAME, nnunet_dataset_json, nnunet_plans_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from goodfit.planning.plan import Plan

TRAINER = "nnUNetTrainer"
"""The class that nnU-Net builds the network with; goodfit's networks are those of this one."""


def model_folder_name(configuration: str) -> Path:
    """Name of the folder of a trained model (nnU-Net: get_output_folder), without the dataset's."""
    return Path(f"{TRAINER}__{PLANS_NAME}__{configuration}")


def write_nnunet_model(
    folder: Path, plan: Plan, networks: Mapping[str, nn.Module], *, dataset: str, cases: int, epochs: Mapping[str, int]
) -> None:
    """Write plans.json, dataset.json and fold_X/checkpoint_final.pth into a folder.

    The checkpoints hold what prediction and ``nnUNetv2_train -pretrained_weights`` read; a training of nnU-Net cannot go
    on from them, since its optimizer's state is not there.

    Args:
        folder: may exist.
        plan: of all networks.
        networks: fold ("0", "1", ..., "all") -> network.
        dataset: name of the dataset.
        cases: number of training cases.
        epochs: fold -> epochs trained.

    Raises:
        PlanError: nnU-Net has no word for a part of the plan; names it.
    """
    plans, description = nnunet_plans_of(plan, name=dataset), nnunet_dataset_json(plan, cases, name=dataset)
    write_json(folder / "plans.json", plans)
    write_json(folder / "dataset.json", description)
    for fold, network in networks.items():
        content = {
            "network_weights": network.state_dict(),
            "current_epoch": epochs[fold],
            "_best_ema": None,
            "logging": {},
            "init_args": {
                "plans": plans,
                "configuration": plan.configuration,
                "fold": int(fold) if fold.isdecimal() else fold,
                "dataset_json": description,
            },
            "trainer_name": TRAINER,
            # nnU-Net: None stands for no mirroring
            "inference_allowed_mirroring_axes": plan.chosen.mirrored or None,
        }
        with replacing(folder / f"fold_{fold}" / FINAL) as temporary:
            torch.save(content, temporary)
