"""Finding the instances in images, in the images' own pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from goodfit.preprocessing.frames import resize, target_size
from goodfit.tasks.instances.detection import Detection
from goodfit.tasks.instances.pasting import encode_cut, paste

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from torch import Tensor, nn

    from goodfit.planning.instances.plan import InstancePlan

    Image = npt.NDArray[np.uint8]


def detect(network: nn.Module, images: Sequence[Image], plan: InstancePlan, device: torch.device) -> list[Detection]:
    """Find the instances in images.

    Args:
        network: the detector, in evaluation mode, on ``device``.
        images: (H, W, 3) uint8 each, red, green, blue; any sizes. They go through the network together.
        plan: gives the size that the network sees, and the precision.
        device: of the network.

    Returns:
        What was found in each, in its own pixels, the surest first.
    """
    shapes = [(image.shape[0], image.shape[1]) for image in images]
    limits = (plan.model.image_min_size, plan.model.image_max_size)
    # As the frames of the training were stored, to the bit.
    resized = [resize(image, target_size(*shape, *limits)) for image, shape in zip(images, shapes, strict=True)]
    tensors = [torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1) for image in resized]
    return detect_resized(network, tensors, shapes, plan, device)


@torch.no_grad()
def detect_resized(
    network: nn.Module,
    images: Sequence[Tensor],
    shapes: Sequence[tuple[int, int]],
    plan: InstancePlan,
    device: torch.device,
) -> list[Detection]:
    """Find the instances in images that have the network's size already.

    Args:
        network: the detector, in evaluation mode, on ``device``.
        images: (3, h, w) uint8 each.
        shapes: original height and width of each.
        plan: gives the precision.
        device: of the network.
    """
    if not images:
        return []
    batch = [image.to(device, non_blocking=True).to(torch.float32).div_(255) for image in images]
    with torch.autocast(device.type, torch.bfloat16, enabled=plan.training.precision == "bfloat16"):
        results = network(batch)
    return [
        _to_detection(result, (image.shape[-2], image.shape[-1]), shape)
        for result, image, shape in zip(results, images, shapes, strict=True)
    ]


def _to_detection(result: dict[str, Tensor], seen: tuple[int, int], shape: tuple[int, int]) -> Detection:
    """Bring what the network gives from the pixels it saw to those of the original image."""
    scale = np.array([shape[1] / seen[1], shape[0] / seen[0]] * 2, dtype=np.float32)
    boxes = result["boxes"].cpu().numpy() * scale
    masks = None
    if "masks" in result:
        small = result["masks"][:, 0].float().cpu().numpy()
        masks = [encode_cut(*paste(mask, box, *shape), *shape) for mask, box in zip(small, boxes, strict=True)]
    return Detection(
        boxes.astype(np.float32), result["scores"].float().cpu().numpy(), result["labels"].cpu().numpy(), masks
    )
