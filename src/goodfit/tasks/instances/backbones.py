"""Backbones with a feature pyramid: maps of strides 4, 8, 16, 32 and, pooled, 64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torchvision.models import mobilenet_v2, mobilenet_v3_large, resnet50
from torchvision.models.detection.backbone_utils import BackboneWithFPN

from goodfit.tasks.instances.norms import BATCH_NORM_EPSILON, norm_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from goodfit.planning.instances.plan import BackboneName, InstanceModel

PYRAMID_CHANNELS: dict[BackboneName, int] = {
    "resnet50_v2": 256,
    "resnet50": 256,
    "mobilenet_v3": 128,
    "mobilenet_v2": 128,
}
"""Channels of every map. Half of torchvision's for the small backbones: on a CPU the 3x3 convolutions on the finest
map cost more than the whole of MobileNetV2, and a quarter as much with half the channels."""


@dataclass(frozen=True)
class _Layout:
    """Where a backbone gives its maps.

    Attributes:
        outputs: name of the layer -> its channels, for the strides 4, 8, 16 and 32.
        stages: names of the layers of the five stages (stem first), which can be frozen.
        epsilon: what its batch norm adds to the variance.
    """

    outputs: dict[str, int]
    stages: Sequence[Sequence[str]]
    epsilon: float = BATCH_NORM_EPSILON


def _numbers(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last + 1)]


_RESNET50 = _Layout(
    {"layer1": 256, "layer2": 512, "layer3": 1024, "layer4": 2048},
    [["conv1", "bn1"], ["layer1"], ["layer2"], ["layer3"], ["layer4"]],
)
_MOBILENET_V2 = _Layout(
    {"3": 24, "6": 32, "13": 96, "18": 1280},
    [_numbers(0, 1), _numbers(2, 3), _numbers(4, 6), _numbers(7, 13), _numbers(14, 18)],
)
_MOBILENET_V3 = _Layout(
    {"3": 24, "6": 40, "12": 112, "16": 960},
    [_numbers(0, 1), _numbers(2, 3), _numbers(4, 6), _numbers(7, 12), _numbers(13, 16)],
    epsilon=1e-3,
)
_LAYOUTS: dict[BackboneName, _Layout] = {
    "resnet50_v2": _RESNET50,
    "resnet50": _RESNET50,
    "mobilenet_v3": _MOBILENET_V3,
    "mobilenet_v2": _MOBILENET_V2,
}


def build_backbone(model: InstanceModel, pyramid_norm: Callable[[int], nn.Module] | None) -> nn.Module:
    """Make a backbone that gives its maps as a dict: "0" to "3" for strides 4 to 32, "pool" for 64.

    Args:
        model: backbone, normalisation and frozen stages.
        pyramid_norm: normalisation of the pyramid's convolutions; None for none, with a bias instead.
    """
    layout = _LAYOUTS[model.backbone]
    norm = norm_layer(model.normalisation, _epsilon(model, layout))
    if model.backbone in ("resnet50", "resnet50_v2"):
        body = resnet50(norm_layer=norm)
    elif model.backbone == "mobilenet_v3":
        body = mobilenet_v3_large(norm_layer=norm).features
    else:
        body = mobilenet_v2(norm_layer=norm).features
    layers = dict(body.named_children())
    for stage in layout.stages[: model.frozen_stages]:
        for name in stage:
            layers[name].requires_grad_(False)
    backbone: nn.Module = BackboneWithFPN(
        body,
        {name: str(level) for level, name in enumerate(layout.outputs)},
        list(layout.outputs.values()),
        PYRAMID_CHANNELS[model.backbone],
        norm_layer=pyramid_norm,
    )
    return backbone


def _epsilon(model: InstanceModel, layout: _Layout) -> float:
    """Give what the weights were trained with: torchvision's COCO weights of its detectors differ from ImageNet's."""
    if model.weights == "coco":
        return {"resnet50": 0.0}.get(model.backbone, BATCH_NORM_EPSILON)
    return layout.epsilon
