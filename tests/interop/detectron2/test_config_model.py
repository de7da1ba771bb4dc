from __future__ import annotations

from typing import Any

import pytest

from goodfit.errors import SettingsError
from goodfit.interop.detectron2.config_ledger import Ledger
from goodfit.interop.detectron2.config_model import translate_model

MEAN = [103.53, 116.28, 123.675]


def _translate(values: dict[str, Any]) -> Ledger:
    ledger = Ledger("a.yaml", values)
    translate_model(ledger)
    return ledger


@pytest.mark.parametrize(
    ("weights", "setting"),
    [
        ("detectron2://ImageNetPretrained/MSRA/R-50.pkl", "imagenet"),
        ("models/own.pkl", "models/own.pkl"),
        ("", "none"),
        (None, "none"),
        ("detectron2://COCO-InstanceSegmentation/model.pkl", None),
        ("https://example.org/model.pkl", None),
    ],
)
def test_weights(weights: str | None, setting: str | None) -> None:
    ledger = _translate({"MODEL.WEIGHTS": weights})
    assert ledger.settings.get("model.weights") == setting
    assert ledger.open_keys() == []


def test_pixels_of_torchvisions_weights_are_their_own() -> None:
    ledger = _translate({"MODEL.PIXEL_MEAN": MEAN, "MODEL.PIXEL_STD": [1.0] * 3})
    assert ledger.settings == {}
    assert [key for key, _, _ in ledger.ignored] == ["MODEL.PIXEL_MEAN", "MODEL.PIXEL_STD"]


def test_pixels_of_detectrons_weights_are_turned_round() -> None:
    values = {"MODEL.WEIGHTS": "a.pkl", "MODEL.PIXEL_MEAN": MEAN, "MODEL.PIXEL_STD": [1, 1, 1], "INPUT.FORMAT": "BGR"}
    ledger = _translate(values)
    assert ledger.settings["data.mean"] == pytest.approx([0.485, 0.456, 0.406])
    assert "data.std" not in ledger.settings
    assert ledger.ignored == []
    other = _translate({"MODEL.WEIGHTS": "a.pkl", "MODEL.PIXEL_STD": [57.375, 57.12, 58.395]})
    assert "comes out wrong" in other.ignored[0][2]
    red_first = _translate({"MODEL.WEIGHTS": "a.pkl", "INPUT.FORMAT": "RGB"})
    assert "comes out wrong" in red_first.ignored[0][2]


def test_pixels_from_scratch_are_taken_as_they_are_ordered() -> None:
    rgb = {
        "MODEL.WEIGHTS": "",
        "MODEL.PIXEL_MEAN": [255, 0, 51],
        "MODEL.PIXEL_STD": [51, 255, 255],
        "INPUT.FORMAT": "RGB",
    }
    settings = _translate(rgb).settings
    assert settings["data.mean"] == pytest.approx([1, 0, 0.2])
    assert settings["data.std"] == pytest.approx([0.2, 1, 1])
    with pytest.raises(SettingsError, match="three numbers"):
        _translate({"MODEL.WEIGHTS": "", "MODEL.PIXEL_MEAN": [1]})


@pytest.mark.parametrize(
    ("sizes", "setting"),
    [
        ([[32], [64], [128], [256], [512]], [[32], [64], [128], [256], [512]]),
        ([[16, 32]], [[16, 32]] * 5),
        ([[16], [32], [64]], None),
        ([[16], [32, 64], [64], [128], [256]], None),
    ],
)
def test_anchor_sizes(sizes: list[list[float]], setting: list[list[float]] | None) -> None:
    ledger = _translate({"MODEL.ANCHOR_GENERATOR.SIZES": sizes})
    assert ledger.settings.get("model.anchor_sizes") == setting
    assert len(ledger.ignored) == (setting is None)


def test_anchor_ratios_must_agree() -> None:
    key = "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS"
    assert _translate({key: [[0.5, 1.0]] * 5}).settings == {"model.anchor_ratios": [0.5, 1.0]}
    assert _translate({key: [[0.5], [1.0]]}).settings == {}


@pytest.mark.parametrize(
    ("key", "value", "settings"),
    [
        ("MODEL.RESNETS.DEPTH", 50, {"model.backbone": "resnet50"}),
        ("MODEL.RESNETS.DEPTH", 101, {}),
        ("MODEL.RESNETS.NORM", "SyncBN", {"model.normalisation": "batch"}),
        ("MODEL.RESNETS.NORM", "LN", {}),
        ("MODEL.BACKBONE.FREEZE_AT", 0, {"model.frozen_stages": 0}),
        ("MODEL.MASK_ON", False, {"model.masks": False}),
        ("MODEL.RPN.IOU_THRESHOLDS", [0.2, 0.6], {"model.rpn_background_iou": 0.2, "model.rpn_foreground_iou": 0.6}),
        ("MODEL.RPN.IOU_THRESHOLDS", [0.5], {}),
        ("MODEL.ROI_HEADS.IOU_THRESHOLDS", [0.4], {"model.region_foreground_iou": 0.4}),
        ("MODEL.ROI_HEADS.IOU_THRESHOLDS", [0.4, 0.6], {}),
        ("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 128, {"model.regions_per_image": 128}),
        ("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.7, {"model.score_threshold": 0.7}),
        ("TEST.DETECTIONS_PER_IMAGE", 30, {"model.detections_per_image": 30}),
    ],
)
def test_one_key(key: str, value: object, settings: dict[str, Any]) -> None:
    ledger = _translate({key: value})
    assert ledger.settings == settings
    assert len(ledger.honoured) + len(ledger.ignored) == 1
