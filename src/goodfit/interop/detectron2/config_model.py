"""MODEL.*: backbone, weights, pixel scale, anchors, proposals, regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.planning.instances.plan import LEVEL_STRIDES

if TYPE_CHECKING:
    from goodfit.interop.detectron2.config_ledger import Ledger

IMAGENET_PREFIX = "detectron2://ImageNetPretrained/"
_NORMS = {"FrozenBN": "frozen_batch", "BN": "batch", "SyncBN": "batch", "GN": "group"}
_WHOLE = {
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": "model.rpn_batch_per_image",
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": "model.rpn_candidates_train",
    "MODEL.RPN.PRE_NMS_TOPK_TEST": "model.rpn_candidates_test",
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": "model.rpn_proposals_train",
    "MODEL.RPN.POST_NMS_TOPK_TEST": "model.rpn_proposals_test",
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": "model.regions_per_image",
    "TEST.DETECTIONS_PER_IMAGE": "model.detections_per_image",
}
_SHARES = {
    "MODEL.RPN.POSITIVE_FRACTION": "model.rpn_positive_fraction",
    "MODEL.RPN.NMS_THRESH": "model.rpn_nms_threshold",
    "MODEL.ROI_HEADS.POSITIVE_FRACTION": "model.region_positive_fraction",
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": "model.score_threshold",
    "MODEL.ROI_HEADS.NMS_THRESH_TEST": "model.nms_threshold",
}


def translate_model(ledger: Ledger) -> None:
    """Book the keys of MODEL that a plan has a field for."""
    for key, name in _WHOLE.items():
        if key in ledger:
            ledger.put(key, name, ledger.whole(key, least=1))
    for key, name in _SHARES.items():
        if key in ledger:
            ledger.put(key, name, ledger.number(key, least=0))
    if "MODEL.MASK_ON" in ledger:
        ledger.put("MODEL.MASK_ON", "model.masks", ledger.flag("MODEL.MASK_ON"))
    _overlaps(ledger)
    _backbone(ledger)
    _weights(ledger)
    _pixels(ledger)
    _anchors(ledger)


def _overlaps(ledger: Ledger) -> None:
    key = "MODEL.RPN.IOU_THRESHOLDS"
    if key in ledger:
        values = ledger.numbers(key)
        if len(values) == 2:
            names = ("model.rpn_background_iou", "model.rpn_foreground_iou")
            ledger.honour(key, " and ".join(names), dict(zip(names, values, strict=True)))
        else:
            ledger.ignore(key, "two thresholds are needed")
    key = "MODEL.ROI_HEADS.IOU_THRESHOLDS"
    if key in ledger:
        values = ledger.numbers(key)
        if len(values) == 1:
            ledger.put(key, "model.region_foreground_iou", values[0])
        else:
            ledger.ignore(key, "one threshold is needed")


def _backbone(ledger: Ledger) -> None:
    key = "MODEL.RESNETS.DEPTH"
    if key in ledger:
        if ledger.whole(key) == 50:
            ledger.put(key, "model.backbone", "resnet50")
        else:
            ledger.ignore(key, "of the ResNets there is the one with 50 layers; --backbone names the others")
    key = "MODEL.RESNETS.NORM"
    if key in ledger:
        norm = _NORMS.get(str(ledger.values[key]))
        if norm is None:
            ledger.ignore(key, f"there are {', '.join(_NORMS)}")
        else:
            ledger.put(key, "model.normalisation", norm)
    key = "MODEL.BACKBONE.FREEZE_AT"
    if key in ledger:
        ledger.put(key, "model.frozen_stages", ledger.whole(key))


def _weights(ledger: Ledger) -> None:
    key = "MODEL.WEIGHTS"
    if key not in ledger:
        return
    weights = "" if ledger.values[key] is None else ledger.text(key)
    if not weights:
        ledger.put(key, "model.weights", "none")
    elif weights.startswith(IMAGENET_PREFIX):
        ledger.honour(key, "model.weights = imagenet: torchvision's in place of these", {"model.weights": "imagenet"})
    elif "://" in weights:
        ledger.ignore(key, "nothing is fetched from there: download the file and give it with --weights")
    else:
        ledger.put(key, "model.weights", weights)


def _pixels(ledger: Ledger) -> None:
    """Translate mean and std from 0..255 and (usually) BGR to 0..1 and RGB; they belong to the weights."""
    weights = ledger.settings.get("model.weights")
    reverse = ledger.values.get("INPUT.FORMAT", "BGR") == "BGR"
    for key, name in (("MODEL.PIXEL_MEAN", "data.mean"), ("MODEL.PIXEL_STD", "data.std")):
        if key not in ledger:
            continue
        values = ledger.numbers(key)
        if len(values) != 3:
            raise ledger.error(key, "three numbers")
        if weights in (None, "imagenet"):
            ledger.ignore(key, "belongs to Detectron2's weights; torchvision's are trained with other numbers")
        elif name == "data.std" and str(weights).endswith(".pkl"):
            if values == [1, 1, 1]:
                ledger.honour(key, "goes into the first convolution when the weights are read")
            else:
                ledger.ignore(key, "Detectron2's weights are read as made for a std of 1: such a model comes out wrong")
        else:
            scaled = [value / 255 for value in (reversed(values) if reverse else values)]
            ledger.honour(key, f"{name}, for red, green, blue in [0, 1]", {name: scaled})
    if "INPUT.FORMAT" not in ledger:
        return
    if not reverse and str(weights).endswith(".pkl"):
        ledger.ignore("INPUT.FORMAT", "Detectron2's weights are read as made for BGR: such a model comes out wrong")
    else:
        ledger.honour("INPUT.FORMAT", "frames are RGB here; mean and std are turned round where they are taken")


def _anchors(ledger: Ledger) -> None:
    levels = len(LEVEL_STRIDES)
    key = "MODEL.ANCHOR_GENERATOR.SIZES"
    if key in ledger:
        sizes = ledger.lists(key)
        sizes = sizes * levels if len(sizes) == 1 else sizes
        if len(sizes) != levels:
            ledger.ignore(key, f"the pyramid has {levels} levels, this is for {len(sizes)}")
        elif len({len(level) for level in sizes}) > 1:
            ledger.ignore(key, "every level needs as many sizes as the others")
        else:
            ledger.put(key, "model.anchor_sizes", sizes)
    key = "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS"
    if key in ledger:
        ratios = ledger.lists(key)
        if all(level == ratios[0] for level in ratios):
            ledger.put(key, "model.anchor_ratios", ratios[0])
        else:
            ledger.ignore(key, "the ratios are the same on every level")
