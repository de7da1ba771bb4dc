from __future__ import annotations

import pytest
import torch

from goodfit.planning.instances.plan import LEVEL_STRIDES
from goodfit.tasks.instances.backbones import PYRAMID_CHANNELS, build_backbone
from goodfit.tasks.instances.norms import FrozenNorm


@pytest.mark.parametrize("backbone", list(PYRAMID_CHANNELS))
def test_maps_have_the_strides_the_plan_counts_on(make_plan, backbone) -> None:
    model = make_plan(model={"backbone": backbone, "normalisation": "frozen_batch"}).model
    network = build_backbone(model, None).eval()
    with torch.no_grad():
        maps = network(torch.zeros(1, 3, 96, 160))
    assert list(maps) == ["0", "1", "2", "3", "pool"]
    for stride, level in zip(LEVEL_STRIDES, maps.values(), strict=True):
        assert level.shape == (1, PYRAMID_CHANNELS[backbone], -(-96 // stride), -(-160 // stride))


def test_frozen_norms_add_what_the_weights_were_trained_with(make_plan) -> None:
    for backbone, weights, epsilon in (
        ("mobilenet_v3", "imagenet", 1e-3),
        ("mobilenet_v3", "coco", 1e-5),
        ("resnet50", "imagenet", 1e-5),
        ("resnet50", "coco", 0.0),
        ("resnet50_v2", "coco", 1e-5),
    ):
        plan = make_plan(model={"backbone": backbone, "weights": weights, "normalisation": "frozen_batch"})
        norms = [module for module in build_backbone(plan.model, None).modules() if isinstance(module, FrozenNorm)]
        assert {norm.eps for norm in norms} == {epsilon}
