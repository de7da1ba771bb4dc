"""INPUT, DATASETS, DATALOADER, SEED, and why the remaining keys are not honoured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goodfit.interop.detectron2.config_ledger import Ledger

TEST_SIZE = 800
"""Detectron2's default of INPUT.MIN_SIZE_TEST."""
_FLIPS = {"horizontal": (0.5, 0.0), "vertical": (0.0, 0.5), "none": (0.0, 0.0)}

SAME_HERE: dict[str, tuple[Any, ...]] = {
    "VERSION": (2,),
    "MODEL.META_ARCHITECTURE": ("GeneralizedRCNN",),
    "MODEL.BACKBONE.NAME": ("build_resnet_fpn_backbone",),
    "MODEL.PROPOSAL_GENERATOR.NAME": ("RPN",),
    "MODEL.ANCHOR_GENERATOR.NAME": ("DefaultAnchorGenerator",),
    "MODEL.ANCHOR_GENERATOR.OFFSET": (0, 0.0),
    "MODEL.KEYPOINT_ON": (False,),
    "MODEL.LOAD_PROPOSALS": (False,),
    "MODEL.RESNETS.OUT_FEATURES": (["res2", "res3", "res4", "res5"],),
    "MODEL.RESNETS.NUM_GROUPS": (1,),
    "MODEL.RESNETS.WIDTH_PER_GROUP": (64,),
    "MODEL.FPN.IN_FEATURES": (["res2", "res3", "res4", "res5"],),
    "MODEL.FPN.OUT_CHANNELS": (256,),
    "MODEL.FPN.FUSE_TYPE": ("sum",),
    "MODEL.RPN.HEAD_NAME": ("StandardRPNHead",),
    "MODEL.RPN.IN_FEATURES": (["p2", "p3", "p4", "p5", "p6"],),
    "MODEL.ROI_HEADS.NAME": ("StandardROIHeads",),
    "MODEL.ROI_HEADS.IN_FEATURES": (["p2", "p3", "p4", "p5"],),
    "MODEL.ROI_HEADS.PROPOSAL_APPEND_GT": (True,),
    "MODEL.ROI_BOX_HEAD.NAME": ("FastRCNNConvFCHead",),
    "MODEL.ROI_BOX_HEAD.NUM_FC": (2,),
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": (7,),
    "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": (False,),
    "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS": ([10.0, 10.0, 5.0, 5.0],),
    "MODEL.ROI_MASK_HEAD.NAME": ("MaskRCNNConvUpsampleHead",),
    "MODEL.ROI_MASK_HEAD.NUM_CONV": (4,),
    "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": (14,),
    "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK": (False,),
    "INPUT.MASK_FORMAT": ("polygon", "bitmask"),
    "TEST.AUG.ENABLED": (False,),
    "TEST.PRECISE_BN.ENABLED": (False,),
}
"""Keys whose value is part of how the detector is built here: honoured when equal."""

_REASONS = (
    ("MODEL.DEVICE", "give --device"),
    ("MODEL.RESNETS.STRIDE_IN_1X1", "follows from the weights: set for Detectron2's files, not for torchvision's"),
    ("MODEL.RESNETS.", "the ResNet is torchvision's"),
    ("MODEL.FPN.", "the feature pyramid is torchvision's"),
    ("MODEL.ANCHOR_GENERATOR.", "anchors are upright and stand at every stride of their level"),
    ("MODEL.ROI_BOX_HEAD.", "the box head is as its backbone has it; model.* in the plan has what can be set"),
    ("MODEL.ROI_MASK_HEAD.", "the mask head is as its backbone has it; model.* in the plan has what can be set"),
    ("MODEL.RPN.", "the region proposal network is torchvision's; model.rpn_* in the plan has what can be set"),
    ("MODEL.ROI_KEYPOINT_HEAD.", "there are no keypoints"),
    ("MODEL.KEYPOINT_ON", "there are no keypoints"),
    ("MODEL.RETINANET.", "the detectors are Mask R-CNN and Faster R-CNN"),
    ("MODEL.SEM_SEG_HEAD.", "the detectors are Mask R-CNN and Faster R-CNN"),
    ("MODEL.PANOPTIC_FPN.", "the detectors are Mask R-CNN and Faster R-CNN"),
    ("MODEL.ROI_BOX_CASCADE_HEAD.", "the detectors are Mask R-CNN and Faster R-CNN"),
    ("MODEL.META_ARCHITECTURE", "the detectors are Mask R-CNN and Faster R-CNN"),
    ("MODEL.BACKBONE.NAME", "the backbones are those of --backbone, each with a feature pyramid"),
    ("MODEL.", "torchvision's Mask R-CNN and Faster R-CNN have no such part"),
    ("TEST.AUG.", "frames are predicted once, as they are"),
    ("TEST.EXPECTED_RESULTS", "a check of Detectron2's own tests"),
    ("TEST.", "evaluation is COCO's, on whole frames"),
    ("INPUT.CROP.", "frames are not cropped; augmentation.scale_range zooms"),
    ("INPUT.", "augmentation.* in the plan has what can be set"),
    ("DATALOADER.NUM_WORKERS", "give --workers"),
    ("DATALOADER.", "frames are drawn as sampling.* in the plan says"),
    ("DATASETS.", "proposals are made by the network, not read"),
    ("SOLVER.", "the schedule is warm-up, stable, cooldown (or poly)"),
    ("OUTPUT_DIR", "give --run"),
    ("VIS_PERIOD", "the report shows the worst frames at the end"),
    ("CUDNN_BENCHMARK", "not a setting"),
    ("VERSION", "keys are read as those of version 2"),
)
"""Beginning of a key -> why it is not honoured; the first that fits."""
_UNKNOWN = "not one of Detectron2's own keys, or one without a counterpart"


def translate_data(ledger: Ledger) -> dict[str, list[str]]:
    """Book INPUT, DATASETS, DATALOADER and SEED; give the names of the datasets."""
    _sizes(ledger)
    _flips(ledger)
    _sampling(ledger)
    if "SEED" in ledger:
        seed = ledger.number("SEED")
        if seed >= 0:
            ledger.put("SEED", "training.seed", ledger.whole("SEED"))
        else:
            ledger.ignore("SEED", "a negative seed stands for chance; here a run can always be repeated")
    datasets = {}
    for key, name in (("DATASETS.TRAIN", "train"), ("DATASETS.TEST", "test")):
        if key in ledger:
            value = ledger.values[key]
            datasets[name] = [str(one) for one in value] if isinstance(value, list) else [str(value)]
            why = "names that only the program which registers them can resolve: give the folder of the dataset"
            ledger.ignore(key, why)
    return datasets


def ignore_rest(ledger: Ledger) -> None:
    """Book every key that is left."""
    for key in ledger.open_keys():
        value = ledger.values[key]
        same = SAME_HERE.get(key, ())
        if any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in same):
            ledger.honour(key, "is so here, without a setting")
        else:
            known = " or ".join(str(one) for one in same)
            why = next((why for start, why in _REASONS if key.startswith(start)), _UNKNOWN)
            ledger.ignore(key, f"{why}; here it is {known}" if same else why)


def _sizes(ledger: Ledger) -> None:
    key = "INPUT.MIN_SIZE_TEST"
    size = ledger.whole(key, TEST_SIZE)
    if key in ledger and size:
        ledger.put(key, "model.image_min_size", size)
    elif key in ledger:
        ledger.ignore(key, "0 means the frame's own size; the plan chooses one for all")
    _training_sizes(ledger, size or TEST_SIZE)
    test, train = "INPUT.MAX_SIZE_TEST", "INPUT.MAX_SIZE_TRAIN"
    if test in ledger:
        ledger.put(test, "model.image_max_size", ledger.whole(test, least=1))
        ledger.ignore_all({train: "one largest size holds for training and testing: that of testing"})
    elif train in ledger:
        ledger.put(train, "model.image_max_size", ledger.whole(train, least=1))


def _training_sizes(ledger: Ledger, size: int) -> None:
    key = "INPUT.MIN_SIZE_TRAIN"
    if key not in ledger:
        return
    sizes = ledger.numbers(key)
    if not sizes or min(sizes) <= 0:
        ledger.ignore(key, "0 means the frame's own size; the plan chooses one for all")
        return
    scale = [round(min(sizes) / size, 4), round(max(sizes) / size, 4)]
    ledger.honour(
        key,
        f"augmentation.scale_range = {scale[0]:g} to {scale[1]:g} of model.image_min_size = {size} (of testing)",
        {"augmentation.scale_range": scale, "model.image_min_size": size},
    )
    key = "INPUT.MIN_SIZE_TRAIN_SAMPLING"
    if key in ledger:
        if ledger.text(key) == "range":
            ledger.honour(key, "any size in augmentation.scale_range is drawn")
        else:
            ledger.ignore(key, "any size in augmentation.scale_range is drawn, not only those of the list")


def _flips(ledger: Ledger) -> None:
    key = "INPUT.RANDOM_FLIP"
    if key not in ledger:
        return
    if ledger.text(key) not in _FLIPS:
        raise ledger.error(key, " or ".join(_FLIPS))
    horizontal, vertical = _FLIPS[ledger.text(key)]
    ledger.honour(
        key,
        f"augmentation.flip_horizontal = {horizontal:g}, augmentation.flip_vertical = {vertical:g}",
        {
            "augmentation.flip_horizontal": horizontal,
            "augmentation.flip_vertical": vertical,
            "augmentation.quarter_turns": 0.0,
        },
    )


def _sampling(ledger: Ledger) -> None:
    sampler, threshold = "DATALOADER.SAMPLER_TRAIN", "DATALOADER.REPEAT_THRESHOLD"
    if ledger.values.get(sampler) == "RepeatFactorTrainingSampler":
        ledger.honour(sampler, "sampling.repeat_threshold; videos and novelty count besides")
        if threshold in ledger:
            ledger.put(threshold, "sampling.repeat_threshold", ledger.number(threshold, least=0))
    key = "DATALOADER.FILTER_EMPTY_ANNOTATIONS"
    if key in ledger:
        if ledger.flag(key):
            ledger.put(key, "sampling.empty_share", 0.0)
        else:
            ledger.honour(key, "frames without objects are kept in any case; sampling.empty_share limits them")
