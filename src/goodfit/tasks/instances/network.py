"""The detector a plan asks for: torchvision's Mask R-CNN, or Faster R-CNN where there are only boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from goodfit.planning.instances.plan import LEVEL_STRIDES
from goodfit.tasks.instances.backbones import PYRAMID_CHANNELS, build_backbone
from goodfit.tasks.instances.norms import fold_frozen_norms, norm_layer
from goodfit.tasks.instances.regions import Anchors, ImageIntake, RegionPooler

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.planning.instances.plan import InstanceModel, InstancePlan

BOX_SIDE = 7
MASK_SIDE = 14
"""Samples along the side of a region in the box and the mask head; masks come out at twice that."""
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
_DETECTRON2_SUFFIX = ".pkl"


@dataclass(frozen=True)
class _Heads:
    """Sizes of the heads: torchvision's for ResNet-50, smaller for the small backbones."""

    rpn_convolutions: int
    box_convolutions: int
    box_features: int
    mask_features: tuple[int, ...]
    normalised: bool


_HEADS = {
    "resnet50_v2": _Heads(2, 4, 1024, (256,) * 4, normalised=True),
    "resnet50": _Heads(1, 0, 1024, (256,) * 4, normalised=False),
    "mobilenet_v3": _Heads(1, 0, 512, (128,) * 4, normalised=False),
    "mobilenet_v2": _Heads(1, 0, 512, (128,) * 4, normalised=False),
}


def is_detectron2(weights: str) -> bool:
    """Whether the weights are a file of Detectron2's, whose network differs in details."""
    return weights.endswith(_DETECTRON2_SUFFIX)


def build_detector(plan: InstancePlan) -> nn.Module:
    """Make the detector with random weights, from torch's global random state.

    In training mode ``network(images, targets)`` gives torchvision's losses; in evaluation mode
    ``network(images)`` gives for each image boxes (in the pixels of the image as given), scores, labels and, with
    a mask head, masks (N, 1, 28, 28) within the boxes (``inference.detect`` makes whole masks of them). ``images``
    are float tensors (3, H, W) in [0, 1], already of the size the network is to see; targets hold boxes (N, 4)
    float, labels (N,) int64 from 1, and masks (N, H, W) bool.

    Under bfloat16 autocast, convolutions and matrix products run in bfloat16; anchors, boxes, suppression of
    overlaps, RoIAlign and losses stay in float32.
    """
    model = plan.model
    heads = _HEADS[model.backbone]
    channels = PYRAMID_CHANNELS[model.backbone]
    outputs = len(plan.data.categories) + 1
    norm = _head_norm(model) if heads.normalised else None
    from_detectron2 = is_detectron2(model.weights)
    backbone = build_backbone(model, norm)
    network: nn.Module = GeneralizedRCNN(
        backbone,
        _region_proposals(model, heads, channels, rounded=model.weights == "coco"),
        _region_heads(model, heads, channels, outputs, norm, aligned=from_detectron2),
        ImageIntake(plan.data.mean, plan.data.std),
    )
    if from_detectron2:
        _stride_in_first(backbone)
    fold_frozen_norms(network)
    for name in ("backbone", "rpn.head", "roi_heads.box_predictor", "roi_heads.mask_predictor"):
        module = network.get_submodule(name) if name != "roi_heads.mask_predictor" or model.masks else None
        if module is not None:
            module.register_forward_hook(_give_float32)
    return network


def _head_norm(model: InstanceModel) -> Callable[[int], nn.Module]:
    """Normalisation of pyramid and heads: frozen only where the weights come with the statistics."""
    kind = model.normalisation
    return norm_layer("group" if kind == "frozen_batch" and model.weights in ("none", "imagenet") else kind)


def _region_proposals(model: InstanceModel, heads: _Heads, channels: int, *, rounded: bool) -> nn.Module:
    anchors = Anchors(model.anchor_sizes, model.anchor_ratios, LEVEL_STRIDES, rounded=rounded)
    module: nn.Module = RegionProposalNetwork(
        anchors,
        RPNHead(channels, model.anchors_per_position, conv_depth=heads.rpn_convolutions),
        fg_iou_thresh=model.rpn_foreground_iou,
        bg_iou_thresh=model.rpn_background_iou,
        batch_size_per_image=model.rpn_batch_per_image,
        positive_fraction=model.rpn_positive_fraction,
        pre_nms_top_n={"training": model.rpn_candidates_train, "testing": model.rpn_candidates_test},
        post_nms_top_n={"training": model.rpn_proposals_train, "testing": model.rpn_proposals_test},
        nms_thresh=model.rpn_nms_threshold,
    )
    return module


def _region_heads(
    model: InstanceModel,
    heads: _Heads,
    channels: int,
    outputs: int,
    norm: Callable[[int], nn.Module] | None,
    *,
    aligned: bool,
) -> nn.Module:
    strides = LEVEL_STRIDES[:-1]  # The pooled level only proposes.
    if heads.box_convolutions:
        box_head = FastRCNNConvFCHead(
            (channels, BOX_SIDE, BOX_SIDE), [channels] * heads.box_convolutions, [heads.box_features], norm_layer=norm
        )
    else:
        box_head = TwoMLPHead(channels * BOX_SIDE**2, heads.box_features)
    masks: dict[str, nn.Module] = {}
    if model.masks:
        features = heads.mask_features
        masks = {
            "mask_roi_pool": RegionPooler(MASK_SIDE, strides, aligned=aligned),
            "mask_head": MaskRCNNHeads(channels, list(features), 1, norm_layer=norm),
            "mask_predictor": MaskRCNNPredictor(features[-1], features[-1], outputs),
        }
    module: nn.Module = RoIHeads(
        RegionPooler(BOX_SIDE, strides, aligned=aligned),
        box_head,
        FastRCNNPredictor(heads.box_features, outputs),
        fg_iou_thresh=model.region_foreground_iou,
        bg_iou_thresh=model.region_foreground_iou,
        batch_size_per_image=model.regions_per_image,
        positive_fraction=model.region_positive_fraction,
        bbox_reg_weights=BOX_WEIGHTS,
        score_thresh=model.score_threshold,
        nms_thresh=model.nms_threshold,
        detections_per_img=model.detections_per_image,
        **masks,
    )
    return module


def _stride_in_first(backbone: nn.Module) -> None:
    """Move the stride of ResNet-50's stages from the 3x3 to the first 1x1 convolution, as in Detectron2's."""
    for stage in ("layer2", "layer3", "layer4"):
        first = backbone.get_submodule(f"body.{stage}.0")
        for name, stride in (("conv1", 2), ("conv2", 1)):
            convolution = first.get_submodule(name)
            assert isinstance(convolution, nn.Conv2d)
            convolution.stride = (stride, stride)


def _give_float32(module: nn.Module, inputs: object, output: Any) -> Any:
    """Forward hook: what follows computes with coordinates and scores, for which bfloat16 is too coarse."""
    return _as_float32(output)


def _as_float32(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to(torch.float32)
    if isinstance(value, dict):
        return type(value)((name, _as_float32(entry)) for name, entry in value.items())
    return type(value)(_as_float32(entry) for entry in value)
