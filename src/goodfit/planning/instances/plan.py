"""plan.json of an instance segmentation or detection: every decision, typed, versioned and editable.

Pixels are those of the frame as the network gets it (after the resize to ``image_min_size`` and
``image_max_size``) unless a field says otherwise. Each section has ``reasons``: field name -> one sentence saying
why. Defaults are torchvision's, which are those of Detectron2 and of the papers behind them, where not told
otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, field_validator, model_validator

from goodfit.errors import PlanError
from goodfit.files import read_json, write_text
from goodfit.planning.plan import Budget, Section, Share, Training, plan_error

if TYPE_CHECKING:
    from pathlib import Path

INSTANCE_PLAN_VERSION: Literal[1] = 1

BackboneName = Literal["resnet50_v2", "resnet50", "mobilenet_v3", "mobilenet_v2"]
NormalisationKind = Literal["frozen_batch", "group", "batch"]

LEVEL_STRIDES = (4, 8, 16, 32, 64)
"""Pixels between neighbouring positions of each level of the feature pyramid, finest first (P2 to P6)."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SMALLEST_IMAGE = 64
"""Pixels; below this the coarsest level has no position."""


class InstanceData(Section):
    """The dataset as the plan saw it, and how its pixels are scaled."""

    name: str
    key: str
    """Digest of the dataset's content; another digest makes the plan stale."""
    categories: Annotated[list[str], Field(min_length=1)]
    """Names in the order of their numbers: the first is 1, 0 is the background."""
    has_masks: bool
    """Whether instances have outlines; otherwise they have boxes alone."""
    mean: Annotated[list[float], Field(min_length=3, max_length=3)] = Field(default=list(IMAGENET_MEAN))
    """Subtracted from red, green and blue, pixels being in [0, 1]."""
    std: Annotated[list[PositiveFloat], Field(min_length=3, max_length=3)] = Field(default=list(IMAGENET_STD))
    """Divides red, green and blue afterwards."""


class InstanceModel(Section):
    """The detector: a backbone with a feature pyramid, a region proposal network and the heads of the regions."""

    backbone: BackboneName = "mobilenet_v2"
    weights: Annotated[str, Field(min_length=1)] = "imagenet"
    """"none", "imagenet", "coco", or the path of a file."""
    masks: bool = True
    """Mask R-CNN when true, Faster R-CNN otherwise."""
    normalisation: NormalisationKind = "frozen_batch"
    """Of the backbone: batch norm kept as loaded, group norm, or batch norm that learns."""
    frozen_stages: Annotated[int, Field(ge=0, le=5)] = 0
    """Stages of the backbone, from the image on, whose weights stay as loaded; the stem is the first of five."""
    image_min_size: Annotated[int, Field(ge=SMALLEST_IMAGE)] = 320
    """Shorter side of a frame in the network, in pixels, when it is not augmented."""
    image_max_size: Annotated[int, Field(ge=SMALLEST_IMAGE)] = 640
    """Longer side of a frame in the network at most; a longer frame gets a shorter side below image_min_size."""
    anchor_sizes: list[list[PositiveFloat]] = Field(default=[[16], [32], [64], [128], [256]])
    """For each of the five levels, finest first: square roots of the anchors' areas, in pixels; as many on each."""
    anchor_ratios: Annotated[list[PositiveFloat], Field(min_length=1)] = Field(default=[0.5, 1.0, 2.0])
    """Height / width of the anchors, the same on every level."""
    rpn_foreground_iou: Share = 0.7
    """An anchor that overlaps an object this much is one."""
    rpn_background_iou: Share = 0.3
    """An anchor that overlaps no object this much is background."""
    rpn_batch_per_image: PositiveInt = 256
    """Anchors of each frame that the loss of the region proposal network looks at."""
    rpn_positive_fraction: Share = 0.5
    """Share of these anchors that are objects, at most."""
    rpn_candidates_train: PositiveInt = 2000
    """Best proposals of each level before overlapping ones are dropped, in training."""
    rpn_candidates_test: PositiveInt = 1000
    """The same in validation and prediction."""
    rpn_proposals_train: PositiveInt = 2000
    """Proposals of each frame afterwards, in training."""
    rpn_proposals_test: PositiveInt = 1000
    """The same in validation and prediction: each goes through the box head."""
    rpn_nms_threshold: Share = 0.7
    """Of two proposals that overlap more than this the worse is dropped."""
    regions_per_image: PositiveInt = 512
    """Regions of each frame that the heads are trained on (the RoI batch)."""
    region_positive_fraction: Share = 0.25
    """Share of these regions that are objects, at most."""
    region_foreground_iou: Share = 0.5
    """A region that overlaps an object this much is one; any other is background."""
    detections_per_image: PositiveInt = 100
    """Objects reported in a frame at most."""
    score_threshold: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Detections below this score are dropped before anything else."""
    nms_threshold: Share = 0.5
    """Of two detections of one category that overlap more than this the worse is dropped."""

    @field_validator("anchor_sizes")
    @classmethod
    def _anchors_fit_the_pyramid(cls, sizes: list[list[float]]) -> list[list[float]]:
        if len(sizes) != len(LEVEL_STRIDES):
            raise ValueError(f"{len(sizes)} levels are given, the pyramid has {len(LEVEL_STRIDES)}")
        counts = {len(level) for level in sizes}
        if 0 in counts or len(counts) > 1:
            raise ValueError("every level needs at least one size, and as many as the others: they share one head")
        return sizes

    @model_validator(mode="after")
    def _pairs_in_order(self) -> InstanceModel:
        for low, high in (
            ("image_min_size", "image_max_size"),
            ("rpn_background_iou", "rpn_foreground_iou"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} {getattr(self, low)} is above {high} {getattr(self, high)}")
        return self

    @property
    def anchors_per_position(self) -> int:
        """Anchors at each position of each level."""
        return len(self.anchor_sizes[0]) * len(self.anchor_ratios)


class InstanceAugmentation(Section):
    """How frames are changed in training; a share is the probability for a frame."""

    flip_horizontal: Share = 0.5
    flip_vertical: Share = 0.0
    quarter_turns: Share = 0.0
    """Probability of a turn by 90, 180 or 270 degrees."""
    scale_range: Annotated[list[PositiveFloat], Field(min_length=2, max_length=2)] = Field(default=[0.8, 1.25])
    """Smallest and largest factor by which the frame in the network is larger than image_min_size says."""
    colour: Share = 0.5
    """Probability of changed brightness, contrast, saturation and hue."""
    brightness: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Brightness is multiplied by 1 minus to 1 plus this; contrast and saturation likewise."""
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.2
    saturation: Annotated[float, Field(ge=0, lt=1)] = 0.2
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.02
    """Largest turn of the hue, as a share of the colour circle."""
    grey: Share = 0.05
    """Probability of a frame without colours."""
    blur: Share = 0.05
    """Probability of a blurred frame."""

    @field_validator("scale_range")
    @classmethod
    def _smallest_first(cls, scale_range: list[float]) -> list[float]:
        if scale_range[0] > scale_range[1]:
            raise ValueError(f"the smallest factor {scale_range[0]} is above the largest {scale_range[1]}")
        return scale_range


class FrameSampling(Section):
    """Which training frames a step draws; the weight of each frame follows from this and the fingerprint."""

    video_exponent: Share = 0.5
    """A video whose frames count as n gets a share of the draws proportional to n to this power: 0 every video the
    same, 1 every frame the same."""
    novelty: Share = 0.5
    """n frames that look alike count as n to the power of 1 minus this: 1 together as one, 0 each for itself."""
    duplicate_distance: Annotated[int, Field(ge=0, le=64)] = 6
    """Frames look alike when this many of the 64 bits of their perceptual hashes differ, or fewer."""
    repeat_threshold: Share = 0.0
    """Categories in a smaller share of the frames than this are drawn more often (LVIS); 0 switches it off."""
    empty_share: Share = 0.25
    """Largest share of the draws that may be frames without any object."""


class InstanceTraining(Training):
    """Optimiser, schedule and stopping; there are no patches whose centre could be chosen."""

    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of SGD; AdamW has its own."""
    monitor: str = "val_ap"
    """Column of metrics.csv that is watched: COCO's average precision of masks, or of boxes where there are none."""
    oversample_foreground: Share = Field(default=0.0, exclude=True)
    """Of no meaning here: neither written nor read."""

    @model_validator(mode="before")
    @classmethod
    def _no_patches(cls, value: Any) -> Any:
        if isinstance(value, dict) and "oversample_foreground" in value:
            raise ValueError("oversample_foreground is a setting of patches: frames are drawn as `sampling` says")
        return value


class InstancePlan(Section):
    """All of plan.json for instances."""

    version: Literal[1] = INSTANCE_PLAN_VERSION
    kind: Literal["instances"] = "instances"
    """Tells this plan from one for segmentation."""
    goodfit_version: str
    memory: PositiveFloat
    """Bytes that the training may use."""
    predicted_memory: PositiveFloat | None = None
    """Bytes of a training at its peak: resident in the process, on a GPU reserved there."""
    predicted_tensors: PositiveFloat | None = None
    """Bytes of these that are in tensors, the peak of torch's allocator."""
    data: InstanceData
    model: InstanceModel = Field(default_factory=InstanceModel)
    augmentation: InstanceAugmentation = Field(default_factory=InstanceAugmentation)
    sampling: FrameSampling = Field(default_factory=FrameSampling)
    batch_size: PositiveInt = 2
    """Frames of each step."""
    budget: Budget = Field(default_factory=Budget)
    training: InstanceTraining = Field(default_factory=InstanceTraining)

    @model_validator(mode="after")
    def _masks_need_masks(self) -> InstancePlan:
        if self.model.masks and not self.data.has_masks:
            raise ValueError("model.masks is true, but the dataset has boxes alone")
        return self


def parse_instance_plan(value: object, source: str) -> InstancePlan:
    """Validate the content of a plan file.

    Raises:
        PlanError: names each field that is wrong.
    """
    try:
        return InstancePlan.model_validate(value)
    except ValidationError as error:
        raise plan_error(source, error) from error


def load_instance_plan(path: Path) -> InstancePlan:
    """Read plan.json; an edited plan is validated again.

    Raises:
        PlanError: the file is missing, is no JSON or has a field that cannot be; names each.
    """
    return parse_instance_plan(read_json(path, PlanError), str(path))


def save_instance_plan(plan: InstancePlan, path: Path) -> None:
    """Write plan.json atomically."""
    write_text(path, plan.model_dump_json(indent=2) + "\n")
