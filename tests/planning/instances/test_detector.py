from __future__ import annotations

import pytest

from goodfit.planning.instances.detector import (
    choose_backbone,
    choose_frozen_stages,
    choose_normalisation,
    keeps_proposal_head,
)


def test_the_backbone_suits_weights_before_device() -> None:
    assert choose_backbone("cpu", "imagenet").value == "mobilenet_v2"
    assert choose_backbone("cuda", "imagenet").value == "resnet50_v2"
    assert choose_backbone("cpu", "model_final.pkl").value == "resnet50"


@pytest.mark.parametrize(
    ("weights", "batch", "kind"),
    [("imagenet", 2, "frozen_batch"), ("coco", 64, "frozen_batch"), ("none", 4, "group"), ("none", 16, "batch")],
)
def test_normalisation_follows_weights_and_batch(weights: str, batch: int, kind: str) -> None:
    assert choose_normalisation(weights, batch).value == kind


def test_only_loaded_resnets_are_frozen() -> None:
    assert choose_frozen_stages("resnet50", "coco").value == 2
    assert choose_frozen_stages("resnet50", "none").value == 0
    assert choose_frozen_stages("mobilenet_v2", "imagenet").value == 0


@pytest.mark.parametrize(
    ("weights", "kept"), [("coco", True), ("r50.pkl", True), ("imagenet", False), ("a.pth", False)]
)
def test_weights_with_a_proposal_head_fix_its_anchors(weights: str, kept: bool) -> None:
    assert keeps_proposal_head(weights) is kept
