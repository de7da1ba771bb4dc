"""Detections at several thresholds of overlap from one pass through the network."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torchvision.models.detection.roi_heads import maskrcnn_inference

from goodfit.tasks.instances.inference import to_detection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.tasks.instances.detection import Detection


@torch.no_grad()
def detect_at(
    network: nn.Module,
    images: Sequence[Tensor],
    shapes: Sequence[tuple[int, int]],
    plan: InstancePlan,
    device: torch.device,
    thresholds: Sequence[float],
) -> list[dict[float, Detection]]:
    """Find the instances that each of some values of ``model.nms_threshold`` leaves.

    Proposals and box head do not depend on the threshold and run once; the mask head runs once for every box that
    any of the thresholds keeps.

    Args:
        network: torchvision's detector, in evaluation mode, on ``device``; it is left as it was.
        images: (3, h, w) uint8 each, of the network's size.
        shapes: original height and width of each.
        plan: gives the precision.
        device: of the network.
        thresholds: overlaps from which the worse of two detections is dropped.

    Returns:
        For each image threshold -> what was found.
    """
    module: Any = network
    heads: Any = module.roi_heads
    batch = [image.to(device).to(torch.float32).div_(255) for image in images]
    with torch.autocast(device.type, torch.bfloat16, enabled=plan.training.precision == "bfloat16"):
        resized, _ = module.transform(batch, None)
        features = module.backbone(resized.tensors)
        proposals, _ = module.rpn(resized, features, None)
        logits, regression = heads.box_predictor(
            heads.box_head(heads.box_roi_pool(features, proposals, resized.image_sizes))
        )
        own = heads.nms_thresh
        try:
            kept = []
            for threshold in thresholds:
                heads.nms_thresh = threshold
                kept.append(heads.postprocess_detections(logits, regression, proposals, resized.image_sizes))
        finally:
            heads.nms_thresh = own
        unions = [
            _union([(boxes[at], scores[at], labels[at]) for boxes, scores, labels in kept]) for at in range(len(batch))
        ]
        results = [{"boxes": boxes, "scores": scores, "labels": labels} for boxes, scores, labels, _ in unions]
        if heads.has_mask():
            pooled = heads.mask_roi_pool(features, [result["boxes"] for result in results], resized.image_sizes)
            masks = heads.mask_predictor(heads.mask_head(pooled))
            for result, mask in zip(results, maskrcnn_inference(masks, [r["labels"] for r in results]), strict=True):
                result["masks"] = mask
    found = []
    for result, (_, _, _, places), image, shape in zip(results, unions, images, shapes, strict=True):
        whole = to_detection(result, (image.shape[-2], image.shape[-1]), shape)
        found.append({threshold: _part(whole, place) for threshold, place in zip(thresholds, places, strict=True)})
    return found


def _union(kept: Sequence[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """Join the boxes that each threshold keeps: boxes, scores and labels, and the places of each threshold's own."""
    rows = [torch.cat((boxes, scores[:, None], labels[:, None]), 1).double() for boxes, scores, labels in kept]
    joined, places = torch.unique(torch.cat(rows), dim=0, return_inverse=True)
    parts = list(places.split([len(row) for row in rows]))
    return joined[:, :4].float(), joined[:, 4].float(), joined[:, 5].long(), parts


def _part(detection: Detection, places: Tensor) -> Detection:
    at = places.cpu().numpy()
    masks = detection.masks
    return replace(
        detection,
        boxes=detection.boxes[at],
        scores=detection.scores[at],
        categories=np.asarray(detection.categories[at]),
        masks=None if masks is None else [masks[int(place)] for place in at],
    )
