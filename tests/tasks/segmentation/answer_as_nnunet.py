"""nnU-Net's answers to the questions of the parity tests here: ``python answer_as_nnunet.py FOLDER``.

FOLDER holds questions.pt, a list of (kind, arguments); answers.pt is written beside it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch


def seed_numpy() -> None:
    """Begin anew with the generator that nnU-Net draws from."""
    np.random.seed(0)  # noqa: NPY002 (nnU-Net knows no other)


def loss(
    labels: dict[str, Any], order: list[int] | None, batch_dice: bool, strides: list, logits: list, label: torch.Tensor
) -> dict[str, Any]:
    """Value, gradients and weights of the trainer's loss with deep supervision."""
    from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import DownsampleSegForDSTransform
    from batchgeneratorsv2.transforms.utils.seg_to_regions import ConvertSegmentationToRegionsTransform
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    manager = LabelManager(labels, order)
    scales = [[1 / step for step in stride] for stride in strides]
    trainer = SimpleNamespace(
        label_manager=manager,
        configuration_manager=SimpleNamespace(batch_dice=batch_dice),
        is_ddp=False,
        enable_deep_supervision=True,
        _do_i_compile=lambda: False,
        _get_deep_supervision_scales=lambda: scales,
    )
    criterion = nnUNetTrainer._build_loss(trainer)
    targets = []
    for sample in label:
        segmentation = sample.clamp(min=0)
        if manager.has_regions:
            regions = [*manager.foreground_regions, *([manager.ignore_label] if manager.has_ignore_label else [])]
            segmentation = ConvertSegmentationToRegionsTransform(regions)(segmentation=segmentation)["segmentation"]
        targets.append(DownsampleSegForDSTransform(scales)(segmentation=segmentation)["segmentation"])
    outputs = [one.clone().requires_grad_() for one in logits]
    value = criterion(outputs, [torch.stack(parts) for parts in zip(*targets, strict=True)])
    value.backward()
    return {
        "value": value.item(),
        "gradients": [one.grad for one in outputs],
        "weights": [float(weight) for weight in criterion.weight_factors],
    }


def patch(size: list[int]) -> dict[str, Any]:
    """How a patch is rotated and mirrored."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    trainer = SimpleNamespace(configuration_manager=SimpleNamespace(patch_size=size), print_to_log_file=lambda *_: None)
    rotation, in_plane, initial, mirror = nnUNetTrainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size(
        trainer
    )
    return {
        "rotation": rotation,
        "in_plane": bool(in_plane),
        "initial": [int(length) for length in initial],
        "mirror": mirror,
    }


def transforms(size: list[int], in_plane: bool, values: list[int]) -> list[dict[str, Any]]:
    """Names, probabilities and ranges of the training transforms, in order."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    made = nnUNetTrainer.get_training_transforms(
        size, (-0.5, 0.5), [[1, 1, 1]], (0, 1, 2), in_plane, [True, False], is_cascaded=True, foreground_labels=values
    )
    found = []
    for one in made.transforms:
        inner = getattr(one, "transform", one)
        content = {"name": type(inner).__name__, "p": getattr(one, "apply_probability", None)}
        for key, value in vars(inner).items():
            plain = getattr(value, "contrast_range", value)  # of a BGContrast
            if plain is None or isinstance(plain, (int, float, list, tuple, str)):
                content[key] = plain
        found.append(content)
    return found


def foreground(batch_size: int, share: float) -> list[bool]:
    """Which positions of a batch are forced to show foreground."""
    from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader

    loader = SimpleNamespace(batch_size=batch_size, oversample_foreground_percent=share)
    return [nnUNetDataLoader._oversample_last_XX_percent(loader, position) for position in range(batch_size)]


def boxes(
    shape: list[int],
    size: list[int],
    final: list[int],
    locations: dict[Any, Any],
    ignore: bool,
    forced: bool,
    count: int,
) -> np.ndarray:
    """Where patches begin, drawn ``count`` times."""
    from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader

    loader = SimpleNamespace(
        need_to_pad=np.array(size) - np.array(final),
        patch_size=size,
        has_ignore=ignore,
        annotated_classes_key=(-1, 0, 1, 2),
    )
    seed_numpy()
    found = [nnUNetDataLoader.get_bbox(loader, np.array(shape), forced, locations)[0] for _ in range(count)]
    return np.array(found)


def export(
    plans: dict[str, Any], dataset_json: dict[str, Any], properties: dict[str, Any], logits: torch.Tensor
) -> np.ndarray:
    """The label volume of a file from logits."""
    from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(plans)
    return convert_predicted_logits_to_segmentation_with_correct_shape(
        logits,
        manager,
        manager.get_configuration("3d_fullres"),
        manager.get_label_manager(dataset_json),
        properties,
        num_threads_torch=1,
    )


def next_stage(
    plans: dict[str, Any],
    dataset_json: dict[str, Any],
    properties: dict[str, Any],
    shape: list[int],
    folder: str,
    logits: torch.Tensor,
) -> np.ndarray:
    """The labels that a cascade's second stage sees, from logits of the first."""
    import blosc2
    from nnunetv2.inference.export_prediction import resample_and_save
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(plans)
    file = f"{folder}/next"
    resample_and_save(
        logits,
        shape,
        file,
        manager,
        manager.get_configuration("3d_lowres"),
        properties,
        dataset_json,
        num_threads_torch=1,
    )
    return np.asarray(blosc2.open(f"{file}.b2nd")[:])


def morphology(channels: torch.Tensor, steps: list[tuple[int, str, float]]) -> torch.Tensor:
    """Operations on one-hot channels."""
    from batchgeneratorsv2.transforms.nnunet import random_binary_operator as module

    names = {"dilate": "dilation", "erode": "erosion", "close": "closing", "open": "opening"}
    transform = module.ApplyRandomBinaryOperatorTransform(list(range(-len(channels), 0)))
    return transform._apply_to_image(
        channels.clone(),
        apply_to_channels=[channel - len(channels) for channel, _, _ in steps],
        operators=[getattr(module, f"binary_{names[operation]}_torch") for _, operation, _ in steps],
        strel_size=[radius for _, _, radius in steps],
    )


def removal(channels: torch.Tensor, channel: int, count: int) -> list[torch.Tensor]:
    """Outcomes of removing a component at random, the different ones among ``count``."""
    from batchgeneratorsv2.transforms.nnunet.remove_connected_components import (
        RemoveRandomConnectedComponentFromOneHotEncodingTransform,
    )

    transform = RemoveRandomConnectedComponentFromOneHotEncodingTransform(
        list(range(-len(channels), 0)), fill_with_other_class_p=0, dont_do_if_covers_more_than_x_percent=0.15
    )
    seed_numpy()
    outcomes: list[torch.Tensor] = []
    for _ in range(count):
        made = transform._apply_to_image(channels.clone(), apply_to_channels=[channel - len(channels)])
        if not any(torch.equal(made, other) for other in outcomes):
            outcomes.append(made)
    return outcomes


def scores(references: str, predictions: str, classes: list[Any], ignore: int | None) -> dict[str, Any]:
    """What is in summary.json."""
    from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder_simple, load_summary_json

    compute_metrics_on_folder_simple(references, predictions, classes, num_processes=1, ignore_label=ignore)
    return load_summary_json(f"{predictions}/summary.json")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    asked = torch.load(place / "questions.pt", weights_only=False)
    torch.save([globals()[kind](**arguments) for kind, arguments in asked], place / "answers.pt")
