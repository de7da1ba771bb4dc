"""Finding the instances in images, in the images' own pixels."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from goodfit.preprocessing.frames import target_size
from goodfit.tasks.instances.detection import Detection
from goodfit.tasks.instances.novelty import watching
from goodfit.tasks.instances.pasting import PastedMasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from torch import Tensor, nn

    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.tasks.instances.novelty import NoveltyModel

    Image = npt.NDArray[np.uint8]


def shrink(image: Image, plan: InstancePlan) -> Tensor:
    """Bring an image to the size that the network sees.

    The same as ``preprocessing.frames.resize``, with which the training frames were stored, but for single steps of
    brightness in less than one pixel of a hundred; it takes a fifth of the time.

    Args:
        image: (H, W, 3) uint8, red, green, blue.
        plan: gives the size.

    Returns:
        (3, h, w) uint8.
    """
    height, width = image.shape[:2]
    size = target_size(height, width, plan.model.image_min_size, plan.model.image_max_size)
    pixels = torch.from_numpy(np.require(image, requirements=("C", "W"))).permute(2, 0, 1)
    if size == (height, width):
        return pixels
    resized = torch.nn.functional.interpolate(pixels[None], size, mode="bilinear", antialias=True, align_corners=False)
    return resized[0]


def detect(
    network: nn.Module,
    images: Sequence[Image],
    plan: InstancePlan,
    device: torch.device,
    novelty: NoveltyModel | None = None,
) -> list[Detection]:
    """Find the instances in images.

    Args:
        network: the detector, in evaluation mode, on ``device``.
        images: (H, W, 3) uint8 each, red, green, blue; any sizes. They go through the network together.
        plan: gives the size that the network sees, and the precision.
        device: of the network.
        novelty: measures how far each image is from the training frames.

    Returns:
        What was found in each, in its own pixels, the surest first.
    """
    shapes = [(image.shape[0], image.shape[1]) for image in images]
    return detect_resized(network, [shrink(image, plan) for image in images], shapes, plan, device, novelty)


@torch.no_grad()
def detect_resized(
    network: nn.Module,
    images: Sequence[Tensor],
    shapes: Sequence[tuple[int, int]],
    plan: InstancePlan,
    device: torch.device,
    novelty: NoveltyModel | None = None,
    *,
    paste_later: bool = False,
) -> list[Detection]:
    """Find the instances in images that have the network's size already.

    Args:
        network: the detector, in evaluation mode, on ``device``.
        images: (3, h, w) uint8 each.
        shapes: original height and width of each.
        plan: gives the precision.
        device: of the network.
        novelty: measures how far each image is from the training frames.
        paste_later: let masks be brought to the image's pixels when they are asked for, where few of them are.
    """
    if not images:
        return []
    sizes = [(image.shape[-2], image.shape[-1]) for image in images]
    look: AbstractContextManager[list[npt.NDArray[np.float32]]] = (
        nullcontext([]) if novelty is None else watching(network, sizes)
    )
    with (
        look as features,
        torch.autocast(device.type, torch.bfloat16, enabled=plan.training.precision == "bfloat16"),
    ):
        results = network(as_batch(images, device))
    found = [
        to_detection(result, size, shape, paste_later=paste_later)
        for result, size, shape in zip(results, sizes, shapes, strict=True)
    ]
    if novelty is None:
        return found
    distances = novelty.distance(np.concatenate(features)).tolist()
    return [replace(one, distance=distance) for one, distance in zip(found, distances, strict=True)]


def as_batch(images: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Give images (3, h, w) uint8 as the network takes them: float32 in [0, 1] on the device."""
    return [image.to(device, non_blocking=True).to(torch.float32).div_(255) for image in images]


def to_detection(
    result: dict[str, Tensor], seen: tuple[int, int], shape: tuple[int, int], *, paste_later: bool = False
) -> Detection:
    """Bring what the network gives for an image from the pixels it saw to those of the original image."""
    scale = np.array([shape[1] / seen[1], shape[0] / seen[0]] * 2, dtype=np.float32)
    boxes = (result["boxes"].cpu().numpy() * scale).astype(np.float32)
    masks = None
    if "masks" in result:
        pasted = PastedMasks(result["masks"][:, 0].float().cpu().numpy(), boxes, *shape)
        masks = pasted if paste_later else list(pasted)
    return Detection(boxes, result["scores"].float().cpu().numpy(), result["labels"].cpu().numpy(), masks)
