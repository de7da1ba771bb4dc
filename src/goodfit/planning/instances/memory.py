"""What a training step of a detector takes in memory, by a stated model.

bytes = process + factor * (parameters * (weight, gradient, optimizer state, average)
                            + batch * (pixels * bytes a pixel + regions * bytes a region + positives * bytes a mask))

The bytes were counted on the detectors of ``tasks.instances.network``: the sum of what autograd keeps for the backward
pass in float32, for two sizes of frames and two numbers of regions each. The largest scale of the augmentation counts.
Frames of a batch are padded to a common size, which the sides of the plan bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goodfit.planning.instances.plan import BackboneName, InstancePlan


PROCESS_BASE = 800 * 2**20
"""Resident bytes of a process that has imported torch and torchvision, before the first step (763 MiB measured)."""
PROCESS_FACTOR = 1.15
"""Resident bytes for each byte of tensors: scratch buffers of convolutions, and freed blocks that the C library keeps.
With it the prediction was 4 to 13 % above the resident peak of eight steps on three datasets of frames, in either
precision, with MobileNetV2 (frozen batch norm, group norm) and ResNet-50; never below it."""


@dataclass(frozen=True)
class Cost:
    """What a detector with one backbone keeps.

    Attributes:
        parameters: of Mask R-CNN with one category.
        pixel: bytes for each pixel of the input, with frozen batch norm: backbone, pyramid and proposal head.
        pixel_learning: the same with group or learning batch norm, which keep their input besides.
        region: bytes for each region, in the box head.
        mask: bytes for each region that is an object, in the mask head.
    """

    parameters: float
    pixel: float
    pixel_learning: float
    region: float
    mask: float


COSTS: dict[BackboneName, Cost] = {
    "resnet50_v2": Cost(46e6, 1340, 2220, 457e3, 2.62e6),
    "resnet50": Cost(44e6, 1080, 1970, 58e3, 1.81e6),
    "mobilenet_v3": Cost(8e6, 660, 1010, 40e3, 0.95e6),
    "mobilenet_v2": Cost(7.3e6, 1160, 1690, 40e3, 0.95e6),
}
_FLOAT = 4


def estimate_memory(plan: InstancePlan, batch: int | None = None) -> float:
    """Estimate the bytes of a training process at its peak; workers that load data come on top.

    Args:
        plan: gives network, sizes, optimizer.
        batch: another batch size than the plan's.
    """
    frames = plan.batch_size if batch is None else batch
    copies = 2 + (2 if plan.training.optimizer == "adamw" else 1) + (1 if plan.training.ema > 0 else 0)
    fixed = COSTS[plan.model.backbone].parameters * _FLOAT * copies
    return PROCESS_BASE + PROCESS_FACTOR * (fixed + frames * frame_bytes(plan))


def frame_bytes(plan: InstancePlan) -> float:
    """Bytes that each frame of a batch adds to what is kept for the backward pass."""
    return _feature_bytes(plan) + _region_bytes(plan)


def largest_batch(plan: InstancePlan, memory: float) -> int:
    """Give the largest batch whose training stays within ``memory`` bytes; 0 where not one frame fits."""
    one, two = estimate_memory(plan, 1), estimate_memory(plan, 2)
    return max(0, math.floor(1 + (memory - one) / (two - one)))


def fitting_pixels(plan: InstancePlan, memory: float, batch: int) -> float:
    """Give the pixels of a frame, before augmentation, with which ``batch`` frames fit; below 0: not even none."""
    pixels = plan.model.image_min_size * plan.model.image_max_size
    spare = memory - estimate_memory(plan, batch)
    return pixels * (1 + spare / (PROCESS_FACTOR * batch * _feature_bytes(plan)))


def _feature_bytes(plan: InstancePlan) -> float:
    """Backbone, pyramid and proposal head, at the largest size that augmentation may give."""
    model = plan.model
    pixels = model.image_min_size * model.image_max_size * max(1.0, plan.augmentation.scale_range[1]) ** 2
    cost = COSTS[model.backbone]
    return _precision(plan) * pixels * (cost.pixel if model.normalisation == "frozen_batch" else cost.pixel_learning)


def _region_bytes(plan: InstancePlan) -> float:
    """Heads of the regions."""
    model, cost = plan.model, COSTS[plan.model.backbone]
    masks = model.region_positive_fraction * cost.mask if model.masks else 0.0
    return _precision(plan) * model.regions_per_image * (cost.region + masks)


def _precision(plan: InstancePlan) -> float:
    return 0.5 if plan.training.precision == "bfloat16" else 1.0
