"""The learning rate from the batch size: the linear rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from goodfit.planning.instances.decision import Decision

if TYPE_CHECKING:
    from collections.abc import Mapping

REFERENCE_RATE: Mapping[Literal["sgd", "adamw"], tuple[float, int]] = {
    "adamw": (5e-4, 4),  # measured: borrat, MobileNetV2 with ImageNet weights, 100 to 240 steps (docs/log.md)
    "sgd": (2e-2, 16),  # Mask R-CNN in Detectron2 and torchvision, momentum 0.9
}
"""A learning rate that is known to work, and the frames of a step that it was found with."""
WEIGHT_DECAY: Mapping[Literal["sgd", "adamw"], float] = {"adamw": 0.05, "sgd": 1e-4}
"""RTMDet, a convolutional detector with AdamW (Lyu et al. 2022); Detectron2 and torchvision."""
_SOURCE = {
    "adamw": "measured under short budgets (docs/log.md)",
    "sgd": "published for Mask R-CNN with SGD (Detectron2, torchvision; momentum 0.9)",
}


def choose_learning_rate(optimizer: Literal["sgd", "adamw"], batch_size: int) -> Decision[float]:
    """Scale a known rate in proportion to the batch (Goyal et al. 2017).

    Args:
        optimizer: each has its own rate.
        batch_size: frames of a step.
    """
    reference, frames = REFERENCE_RATE[optimizer]
    rate = reference * batch_size / frames
    return Decision(
        rate,
        f"{reference:g} x {batch_size} / {frames}: {_SOURCE[optimizer]} at {frames} frames a step, in proportion to the "
        "batch (Goyal et al. 2017)",
    )
