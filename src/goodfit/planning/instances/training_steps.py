"""The steps of a detector's training, to be traced on fake tensors, with as many objects and regions as there can be.

How many regions a frame has depends on the values in it, which fake tensors do not have. So the layers and losses are the
detector's own, and what chooses regions between them (suppression of overlaps, matching, sampling) is replaced by
choices of fixed size, the largest that the plan allows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from torchvision.models.detection.roi_heads import maskrcnn_loss
from torchvision.ops import box_iou, roi_align

from goodfit.planning.instances.plan import InstancePlan
from goodfit.tasks.instances.align import POINTS
from goodfit.tasks.instances.network import build_detector
from goodfit.training.ema import WeightAverage
from goodfit.training.optimizer import build_optimizer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

STEPS = 2
MULTIPLE = 32
"""Frames are padded to a multiple of this."""
_BETA = 1 / 9


@dataclass(frozen=True)
class DetectorSteps:
    """All that the memory of a step depends on, except the batch; hashable.

    Attributes:
        plan: as JSON.
        on_cpu: whether regions are cut out as on a CPU.
    """

    plan: str
    on_cpu: bool

    @classmethod
    def of(cls, plan: InstancePlan, *, on_cpu: bool) -> DetectorSteps:
        """Keep of a plan what matters."""
        plain = plan.model_copy(
            update={"batch_size": 1, "goodfit_version": "", "memory": 1.0, "predicted_memory": None, "reasons": {}}
        )
        sections = {"model": {"reasons"}, "augmentation": {"reasons"}, "training": {"reasons"}, "data": {"reasons"}}
        return cls(plain.model_dump_json(exclude={**sections, "sampling": True, "budget": True}), on_cpu)

    def take(self, batch: int) -> None:
        """Make everything and take the steps; under FakeTensorMode nothing is computed."""
        plan = InstancePlan.model_validate_json(self.plan)
        network = build_detector(plan)
        for weights in network.parameters():
            if weights.ndim == 4:  # as Module.to(memory_format=...) does, which fake tensors refuse
                weights.data = weights.data.contiguous(memory_format=torch.channels_last)
        network.train()
        fix_sizes(network, plan, on_cpu=self.on_cpu)
        optimizer = build_optimizer(network, plan.training)
        average = WeightAverage(network, plan.training.ema) if plan.training.ema > 0 else None
        height, width = largest_frame(plan)
        for step in range(STEPS):
            loaded = [torch.zeros(3, height, width, dtype=torch.uint8) for _ in range(batch)]
            images = [image.to(torch.float32) for image in loaded]
            targets = [_target(plan, height, width) for _ in range(batch)]
            with torch.autocast("cpu", torch.bfloat16, enabled=plan.training.precision == "bfloat16"):
                total = torch.stack(_losses(network, images, targets)).sum()
            del images, targets
            total.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), plan.training.gradient_clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if average is not None:
                average.update(network, step + 1)
            del total, loaded


def largest_frame(plan: InstancePlan) -> tuple[int, int]:
    """Give height and width of the largest frame that the augmentation makes, padded."""
    scale = max(1.0, plan.augmentation.scale_range[1])
    height, width = (
        math.ceil(side * scale / MULTIPLE) * MULTIPLE for side in (plan.model.image_min_size, plan.model.image_max_size)
    )
    return height, width


def _target(plan: InstancePlan, height: int, width: int) -> dict[str, Tensor]:
    """A frame as full of objects as its detections may be."""
    objects = plan.model.detections_per_image
    target = {"boxes": torch.zeros(objects, 4), "labels": torch.zeros(objects, dtype=torch.int64)}
    if plan.model.masks:
        target["masks"] = torch.zeros(objects, height, width, dtype=torch.bool)
    return target


def _losses(network: Any, images: list[Tensor], targets: list[dict[str, Tensor]]) -> list[Tensor]:
    """What torchvision's detector does in training, without its look at the values of the boxes."""
    batched, targets = network.transform(images, targets)
    features = network.backbone(batched.tensors)
    proposals, first = network.rpn(batched, features, targets)
    _detections, second = network.roi_heads(features, proposals, batched.image_sizes, targets)
    return [*first.values(), *second.values()]


def fix_sizes(network: nn.Module, plan: InstancePlan, *, on_cpu: bool) -> None:
    """Replace whatever depends on values in a detector by choices of the largest size."""
    rpn: Any = network.get_submodule("rpn")
    heads: Any = network.get_submodule("roi_heads")
    fixed = _FixedSizes(plan, heads, on_cpu)
    rpn.filter_proposals = fixed.filter_proposals
    rpn.assign_targets_to_anchors = fixed.assign_targets_to_anchors
    rpn.compute_loss = fixed.proposal_loss
    heads.forward = fixed.region_losses


@dataclass(frozen=True)
class _FixedSizes:
    """Stand-ins for methods of torchvision's RegionProposalNetwork and RoIHeads; same arguments, fixed sizes."""

    plan: InstancePlan
    heads: Any
    on_cpu: bool

    def filter_proposals(
        self, proposals: Tensor, objectness: Tensor, image_shapes: object, anchors_per_level: object
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Keep as many proposals as there may be."""
        count = min(self.plan.model.rpn_proposals_train, proposals.shape[1])
        return [torch.zeros(count, 4) for _ in proposals], [torch.zeros(count) for _ in proposals]

    def assign_targets_to_anchors(
        self, anchors: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Compare every anchor with every object."""
        labels, boxes = [], []
        for anchor, target in zip(anchors, targets, strict=True):
            overlaps = box_iou(target["boxes"], anchor)
            best, match = overlaps.max(dim=0)
            lowest = overlaps == overlaps.max(dim=1).values[:, None]
            labels.append((best > 0).to(torch.float32))
            boxes.append(target["boxes"][match])
            del overlaps, lowest
        return labels, boxes

    def proposal_loss(
        self, objectness: Tensor, deltas: Tensor, labels: Sequence[Tensor], targets: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Compare as many anchors as the losses look at."""
        model = self.plan.model
        chosen = torch.zeros(len(labels) * model.rpn_batch_per_image, dtype=torch.int64)
        objects = chosen[: int(len(chosen) * model.rpn_positive_fraction)]
        label, target = torch.cat(list(labels)), torch.cat(list(targets))
        box = functional.smooth_l1_loss(deltas[objects], target[objects], beta=_BETA, reduction="sum")
        score = functional.binary_cross_entropy_with_logits(objectness.flatten()[chosen], label[chosen])
        return score, box

    def region_losses(
        self, features: Mapping[str, Tensor], proposals: Sequence[Tensor], shapes: Any, targets: Any = None
    ) -> tuple[list[object], dict[str, Tensor]]:
        """Run the heads on as many regions, and objects among them, as there may be."""
        model, heads = self.plan.model, self.heads
        images, regions = len(proposals), model.regions_per_image
        positives = int(regions * model.region_positive_fraction)
        logits, deltas = heads.box_predictor(heads.box_head(self._cut(heads.box_roi_pool, features, images, regions)))
        labels = torch.zeros(images * regions, dtype=torch.int64)
        found = labels[: images * positives]
        deltas = deltas.reshape(len(labels), -1, 4)
        box = functional.smooth_l1_loss(deltas[found, found], torch.zeros(len(found), 4), beta=_BETA, reduction="sum")
        losses = {"class": functional.cross_entropy(logits, labels), "box": box}
        if model.masks:
            cut = self._cut(heads.mask_roi_pool, features, images, positives)
            masks = heads.mask_predictor(heads.mask_head(cut))
            boxes = [torch.zeros(positives, 4) for _ in range(images)]
            matches = [torch.zeros(positives, dtype=torch.int64) for _ in range(images)]
            given = [target["masks"] for target in targets], [target["labels"] for target in targets]
            losses["mask"] = maskrcnn_loss(masks, boxes, *given, matches)
        return [], losses

    def _cut(self, pooler: Any, features: Mapping[str, Tensor], images: int, regions: int) -> Tensor:
        """Cut regions out, as many of them from each level where the way there is one operator a level."""
        if self.on_cpu and not pooler.aligned:
            cut: Tensor = pooler(features, [torch.zeros(regions, 4) for _ in range(images)], [])
            return cut
        count, points = len(pooler.strides), 0 if pooler.aligned else POINTS
        shares = [images * regions // count + (level < images * regions % count) for level in range(count)]
        cuts = [
            roi_align(
                features[str(level)], torch.zeros(share, 5), pooler.output_size, 1 / stride, points, pooler.aligned
            )
            for level, (share, stride) in enumerate(zip(shares, pooler.strides, strict=True))
        ]
        return torch.cat(cuts)[torch.zeros(images * regions, dtype=torch.int64)]
