"""From the fingerprint of annotated frames, a split and the memory to a plan."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from goodfit.errors import PlanError
from goodfit.planning import wording
from goodfit.planning.instances.anchors import derive_anchors
from goodfit.planning.instances.boxes import scaled_boxes
from goodfit.planning.instances.defaults import default_instance_budget, default_instance_training
from goodfit.planning.instances.detector import (
    choose_backbone,
    choose_frozen_stages,
    choose_normalisation,
    choose_weights,
    keeps_proposal_head,
)
from goodfit.planning.instances.input_size import choose_input_size
from goodfit.planning.instances.memory import estimate_memory, fitting_pixels, largest_batch
from goodfit.planning.instances.orientation import choose_turns
from goodfit.planning.instances.plan import InstanceAugmentation, InstanceData, InstanceModel, InstancePlan
from goodfit.planning.instances.regions import choose_regions
from goodfit.planning.instances.sampling import choose_sampling
from goodfit.planning.instances.wishes import ASKED, apply_instance_wishes, wished_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goodfit.data.instances.model import InstanceDataset
    from goodfit.data.splits import Split
    from goodfit.planning.instances.fingerprint import InstanceFingerprint
    from goodfit.planning.instances.input_size import DeviceKind, InputSize

DEFAULT_MEMORY = 8e9
"""Bytes assumed where nothing is known of the machine."""
MOST_FRAMES: Mapping[DeviceKind, int] = {"cpu": 4, "cuda": 16}
"""Largest batch: on a CPU more frames make fewer steps in the same time; 16 is Detectron2's."""
STEP_PIXELS = 650_000
"""Pixels of all frames of a step on a CPU: about three seconds on two cores, at a rate of 1.9 s for four frames of 320 x
320 with MobileNetV2; fewer, larger frames keep steps as short."""
LEAST_FRAMES = 2
"""Frames are shrunk until this many fit into the memory."""


def make_instance_plan(
    dataset: InstanceDataset,
    fingerprint: InstanceFingerprint,
    split: Split,
    *,
    memory: float | None = None,
    wishes: Mapping[str, Any] | None = None,
    device: DeviceKind = "cpu",
) -> InstancePlan:
    """Derive every decision of a plan; what depends on a wished value follows from the wish.

    Args:
        dataset: name and categories; no file is read.
        fingerprint: measured on the same dataset.
        split: the training frames decide on the sampling.
        memory: bytes that the training may use; None assumes 8 GB.
        wishes: "section.field" -> value, as ``apply_instance_wishes`` takes them.
        device: what it will be trained on.

    Raises:
        PlanError: fingerprint and dataset do not belong together, a wish cannot be, or the memory does not hold a
            single frame.
    """
    if list(dataset.categories) != fingerprint.categories:
        raise PlanError(f"{dataset.root}: the fingerprint is of other categories. Measure the fingerprint anew.")
    if memory is not None and not memory > 0:
        raise PlanError(f"memory: {memory} is no amount of memory. Give a positive number of bytes.")
    wishes = wishes or {}
    data = InstanceData(
        name=dataset.name,
        key=fingerprint.key,
        categories=list(dataset.categories),
        has_masks=dataset.has_masks,
        reasons=dict.fromkeys(("mean", "std"), "of ImageNet, which weights are trained with (pixels in [0, 1])"),
    )
    asked = wished_values(data, wishes)

    def sized(most_pixels: float | None) -> InputSize:
        shorter, longer = asked.get("model.image_min_size"), asked.get("model.image_max_size")
        return choose_input_size(fingerprint, device, min_size=shorter, max_size=longer, most_pixels=most_pixels)

    wanted = sized(None)
    plan = InstancePlan(
        goodfit_version=version("goodfit"),
        memory=DEFAULT_MEMORY if memory is None else memory,
        data=data,
        model=_model(fingerprint, asked, device),
        augmentation=_augmentation(fingerprint),
        sampling=choose_sampling(fingerprint, split.train),
        batch_size=LEAST_FRAMES,
        budget=default_instance_budget(),
        reasons={"memory": "assumed: nothing is known of the machine" if memory is None else "given"},
    )
    plan = apply_instance_wishes(_with_size(plan, wanted), wishes)
    size = sized(max(1.0, fitting_pixels(plan, plan.memory, plan.batch_size)))
    plan = _with_anchors(_with_size(plan, size), fingerprint)
    plan = _with_batch(plan, largest_batch(plan, plan.memory), asked, device)
    plan = apply_instance_wishes(plan, wishes)
    return plan.model_copy(
        update={
            "predicted_memory": round(estimate_memory(plan)),
            "reasons": {
                **plan.reasons,
                "predicted_memory": f"estimated for {plan.batch_size} frames of {plan.model.image_min_size} x "
                f"{plan.model.image_max_size} pixels, not traced",
            },
        }
    )


def _model(fingerprint: InstanceFingerprint, asked: Mapping[str, Any], device: DeviceKind) -> InstanceModel:
    """Everything of the network but input size, anchors and normalisation, which depend on other decisions."""
    chosen_weights = choose_weights()
    weights = asked.get("model.weights", chosen_weights.value)
    chosen_backbone = choose_backbone(device, weights)
    backbone = asked.get("model.backbone", chosen_backbone.value)
    frozen = choose_frozen_stages(backbone, weights)
    regions = choose_regions(fingerprint.instances_per_frame, fingerprint.overlap_99)
    train, test = regions.rpn_proposals_train, regions.rpn_proposals_test
    return InstanceModel(
        backbone=backbone,
        weights=chosen_weights.value,
        masks=fingerprint.has_masks,
        frozen_stages=frozen.value,
        rpn_candidates_train=train.value,
        rpn_candidates_test=test.value,
        rpn_proposals_train=train.value,
        rpn_proposals_test=test.value,
        regions_per_image=regions.regions_per_image.value,
        detections_per_image=regions.detections_per_image.value,
        nms_threshold=regions.nms_threshold.value,
        reasons={
            "backbone": chosen_backbone.reason,
            "weights": chosen_weights.reason,
            "masks": "the instances have outlines" if fingerprint.has_masks else "the instances have boxes alone",
            "frozen_stages": frozen.reason,
            "rpn_candidates_train": "on each level as many as remain of all (torchvision)",
            "rpn_candidates_test": "on each level as many as remain of all (torchvision)",
            "rpn_proposals_train": train.reason,
            "rpn_proposals_test": test.reason,
            "regions_per_image": regions.regions_per_image.reason,
            "detections_per_image": regions.detections_per_image.reason,
            "nms_threshold": regions.nms_threshold.reason,
            "score_threshold": "Detectron2's and torchvision's: what is below adds next to nothing to the precision",
        },
    )


def _augmentation(fingerprint: InstanceFingerprint) -> InstanceAugmentation:
    turns = choose_turns(fingerprint.box_array(), fingerprint.instances_per_frame, fingerprint.categories)
    return InstanceAugmentation(
        flip_horizontal=turns.flip_horizontal.value,
        flip_vertical=turns.flip_vertical.value,
        quarter_turns=turns.quarter_turns.value,
        reasons={
            "flip_horizontal": turns.flip_horizontal.reason,
            "flip_vertical": turns.flip_vertical.reason,
            "quarter_turns": turns.quarter_turns.reason,
            "scale_range": "a third of an octave up and down, as the shorter sides of 640 to 800 in Detectron2",
            "colour": "half the frames: videos differ in light and in cameras",
            "grey": "a few frames: colours of clothes and rooms must not decide alone",
            "blur": "a few frames: movement and compression blur",
        },
    )


def _with_size(plan: InstancePlan, size: InputSize) -> InstancePlan:
    """Give the plan with another input size."""
    return _with_model(
        plan,
        {"image_min_size": size.min_size.value, "image_max_size": size.max_size.value},
        {"image_min_size": size.min_size.reason, "image_max_size": size.max_size.reason},
    )


def _with_anchors(plan: InstancePlan, fingerprint: InstanceFingerprint) -> InstancePlan:
    """Give the plan with the anchors for its input size."""
    model = plan.model
    boxes = scaled_boxes(fingerprint.box_array(), model.image_min_size, model.image_max_size)
    kept = keeps_proposal_head(model.weights)
    anchors = derive_anchors(
        boxes,
        turned=plan.augmentation.quarter_turns > 0,
        sizes_per_level=1 if kept else None,
        ratio_count=3 if kept else None,
    )
    count = len(anchors.sizes[0])
    number = f"{wording.counted(count, 'size')} a level" + (", as the weights' proposal head has" if kept else "")
    return _with_model(
        plan,
        {"anchor_sizes": anchors.sizes, "anchor_ratios": anchors.ratios},
        {
            "anchor_sizes": f"k-means of {len(boxes)} boxes at the input size, {number}: {anchors.describe()}",
            "anchor_ratios": f"k-means of the boxes' height / width: {anchors.describe()}",
        },
    )


def refit_batch(plan: InstancePlan, fits: int, memory: float, device: DeviceKind) -> InstancePlan:
    """Give a plan with the batch that fits by a better prediction, and the learning rate that follows from it.

    Args:
        plan: whose batch the user did not choose.
        fits: largest batch that fits.
        memory: bytes that it fits into.
        device: what it will be trained on.
    """
    most = _most_frames(plan, device)
    batch = max(1, min(fits, most))
    reason = f"{fits} are predicted to fit into {wording.gigabytes(memory)}; at most {most} on this device ({device})"
    training = plan.training
    if training.reasons.get("learning_rate") != ASKED and batch != plan.batch_size:
        by_batch = default_instance_training(training.optimizer, batch_size=batch, masks=plan.model.masks)
        rate_reasons = {**training.reasons, "learning_rate": by_batch.reasons["learning_rate"]}
        training = training.model_copy(update={"learning_rate": by_batch.learning_rate, "reasons": rate_reasons})
    if plan.model.reasons.get("normalisation") != ASKED:
        normalisation = choose_normalisation(plan.model.weights, batch)
        plan = _with_model(plan, {"normalisation": normalisation.value}, {"normalisation": normalisation.reason})
    reasons = {**plan.reasons, "batch_size": reason}
    return plan.model_copy(update={"batch_size": batch, "training": training, "reasons": reasons})


def _with_batch(plan: InstancePlan, fits: int, asked: Mapping[str, Any], device: DeviceKind) -> InstancePlan:
    """Give the plan with the batch that fits, and what depends on it: normalisation and training."""
    most = _most_frames(plan, device)
    batch = asked.get("plan.batch_size", min(fits, most))
    if batch < 1:
        raise PlanError(
            f"memory: {wording.gigabytes(plan.memory)} do not hold a single frame of {plan.model.image_min_size} x "
            f"{plan.model.image_max_size} pixels ({wording.gigabytes(estimate_memory(plan, 1))}). Allow more memory, "
            "a smaller model.image_min_size or a smaller model.backbone."
        )
    reason = f"{fits} would fit into {wording.gigabytes(plan.memory)}; at most {most} on this device ({device})"
    normalisation = choose_normalisation(plan.model.weights, batch)
    training = default_instance_training(
        asked.get("training.optimizer", "adamw"), batch_size=batch, masks=plan.model.masks
    )
    plan = _with_model(plan, {"normalisation": normalisation.value}, {"normalisation": normalisation.reason})
    return plan.model_copy(
        update={
            "batch_size": batch,
            "training": training,
            "reasons": {**plan.reasons, "batch_size": ASKED if "plan.batch_size" in asked else reason},
        }
    )


def _most_frames(plan: InstancePlan, device: DeviceKind) -> int:
    """Give the largest batch that keeps a step short."""
    if device != "cpu":
        return MOST_FRAMES[device]
    pixels = plan.model.image_min_size * plan.model.image_max_size
    return max(LEAST_FRAMES, min(MOST_FRAMES[device], int(STEP_PIXELS // pixels)))


def _with_model(plan: InstancePlan, values: Mapping[str, Any], reasons: Mapping[str, str]) -> InstancePlan:
    update = {**values, "reasons": {**plan.model.reasons, **reasons}}
    return plan.model_copy(update={"model": plan.model.model_copy(update=update)})
