"""plan.json: every decision taken from fingerprint and resources, typed, versioned and editable.

Array axes are ordered (z, y, x) as read from the file and then permuted by ``transpose``; every spacing, shape
and patch in a configuration is in the transposed order. A 2d configuration has patches of two axes, the last
two of the transposed order. Each section has ``reasons``: field name -> one sentence saying why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from goodfit.data.labels import Labels
from goodfit.errors import PlanError
from goodfit.files import read_json, write_text
from goodfit.planning import wording
from goodfit.planning.period import Period

if TYPE_CHECKING:
    from pathlib import Path

PLAN_VERSION: Literal[1] = 1

NormalisationName = Literal["ct", "zscore", "rescale", "rgb", "none"]
ConfigurationName = Literal["2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of the plan; unknown fields are refused, so that a misspelt edit does not pass unseen."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    reasons: dict[str, str] = Field(default_factory=dict)


class IntensityStatistics(BaseModel):
    """Foreground intensities of one channel over the whole dataset (nnU-Net: foreground_intensity_properties)."""

    model_config = ConfigDict(extra="forbid")

    mean: float
    median: float
    std: NonNegativeFloat
    minimum: float
    maximum: float
    percentile_00_5: float
    percentile_99_5: float


class NetworkPlan(Section):
    """The network: nnU-Net's U-Nets, as built by dynamic-network-architectures."""

    architecture: Literal["plain_unet", "residual_unet"]
    features: list[PositiveInt]
    """Channels of each stage, finest first."""
    kernel_sizes: list[list[PositiveInt]]
    strides: list[list[PositiveInt]]
    """Downsampling on entering each stage; the first is all ones."""
    encoder_blocks: list[PositiveInt]
    """Convolutions (plain) or residual blocks (residual) in each encoder stage."""
    decoder_blocks: list[PositiveInt]
    """Convolutions in each decoder stage: one entry fewer than ``features``."""
    deep_supervision: bool = True

    @model_validator(mode="after")
    def _lengths_agree(self) -> NetworkPlan:
        stages = len(self.features)
        for name in ("kernel_sizes", "strides", "encoder_blocks"):
            if len(getattr(self, name)) != stages:
                raise ValueError(f"{name} has {len(getattr(self, name))} entries, features has {stages}")
        if len(self.decoder_blocks) != stages - 1:
            raise ValueError(f"decoder_blocks has {len(self.decoder_blocks)} entries, {stages - 1} are needed")
        return self


class PatchStage(BaseModel):
    """Smaller patches at the beginning of a training."""

    model_config = ConfigDict(extra="forbid")

    until_step: PositiveInt
    """The first step of the next stage, or of the configuration's own patch and batch."""
    patch_size: list[PositiveInt]
    batch_size: PositiveInt

    def __str__(self) -> str:
        """Say it in a table."""
        return f"{wording.size(self.patch_size)} x batch {self.batch_size} until step {self.until_step}"


class Configuration(Section):
    """One network setting."""

    name: ConfigurationName
    spacing: list[PositiveFloat]
    """Target voxel size in mm, three axes, transposed order; for 2d the first axis is not resampled."""
    median_shape: list[PositiveFloat]
    """Median shape of the cases in voxels once resampled, three axes."""
    patch_size: list[PositiveInt]
    batch_size: PositiveInt
    batch_dice: bool
    """Soft Dice over the whole batch instead of per sample."""
    mirror_axes: list[NonNegativeInt] | None = None
    """Axes of the patch along which training flips and test-time averaging may flip; null: all of them."""
    previous_stage: Literal["3d_lowres"] | None = None
    """Configuration whose predicted labels are further input channels, one per label value; null: none."""
    growth: list[PatchStage] = Field(default_factory=list)
    """Smaller patches that the training begins with, in order; empty: the whole training has ``patch_size``."""
    network: NetworkPlan

    def cut_as(self, stage: PatchStage) -> Configuration:
        """Give the configuration with a stage's patch and batch as its own, and without stages."""
        return self.model_copy(
            update={"patch_size": list(stage.patch_size), "batch_size": stage.batch_size, "growth": []}
        )

    def samples(self, steps: int) -> int:
        """Number of samples that the first ``steps`` steps take."""
        count, first = 0, 0
        for stage in self.growth:
            last = min(steps, stage.until_step)
            count += (last - first) * stage.batch_size
            first = last
        return count + (steps - first) * self.batch_size

    @property
    def dims(self) -> int:
        """Number of spatial dimensions of the patch: 2 or 3."""
        return len(self.patch_size)

    @property
    def mirrored(self) -> tuple[int, ...]:
        """Axes of the patch that may be flipped."""
        return tuple(range(self.dims)) if self.mirror_axes is None else tuple(self.mirror_axes)

    @model_validator(mode="after")
    def _patch_fits_network(self) -> Configuration:
        if len(self.patch_size) != (2 if self.name == "2d" else 3):
            raise ValueError(f"patch_size {self.patch_size} has the wrong number of axes for {self.name}")
        if len(self.spacing) != 3 or len(self.median_shape) != 3:
            raise ValueError("spacing and median_shape have three axes")
        if (self.previous_stage is not None) != (self.name == "3d_cascade_fullres"):
            raise ValueError(f"previous_stage is {self.previous_stage}; 3d_cascade_fullres has one, and no other does")
        if self.mirror_axes is not None and sorted(set(self.mirror_axes) & set(range(self.dims))) != self.mirror_axes:
            raise ValueError(f"mirror_axes {self.mirror_axes} should name axes of the patch, each once and in order")
        for patch in (self.patch_size, *(stage.patch_size for stage in self.growth)):
            self._require_divisible(patch)
        before = 0
        for stage in self.growth:
            if stage.until_step <= before:
                raise ValueError(f"growth: the stage until step {stage.until_step} should end after step {before}")
            before = stage.until_step
        return self

    def _require_divisible(self, patch: list[int]) -> None:
        if len(patch) != len(self.patch_size):
            raise ValueError(f"growth: patch_size {patch} has another number of axes than {self.patch_size}")
        for axis, size in enumerate(patch):
            factor = 1
            for stride in self.network.strides:
                factor *= stride[axis]
            if size % factor:
                raise ValueError(f"patch_size {patch}: axis {axis} is not divisible by {factor} (the strides)")


class Data(Section):
    """The dataset as the plan saw it."""

    name: str
    key: str
    """Digest of the dataset's content; another digest makes the plan stale."""
    channels: list[str]
    file_ending: str
    classes: dict[str, list[int]]
    """Foreground class -> label values."""
    ignore: int | None = None
    regions_order: list[int] | None = None
    transpose: list[int] = Field(default=[0, 1, 2], min_length=3, max_length=3)
    """``array.transpose(transpose)`` gives the order the network sees."""
    normalisation: list[NormalisationName]
    use_mask: list[bool]
    """Per channel: normalise inside the nonzero mask only, outside stays 0."""
    intensities: list[IntensityStatistics]

    def input_channels(self, configuration: Configuration) -> int:
        """Number of channels that the network of a configuration takes: the image's, in a cascade also the labels'."""
        previous = 0 if configuration.previous_stage is None else len(self.labels.foreground_values)
        return len(self.channels) + previous

    @property
    def labels(self) -> Labels:
        """The classes, as the rest of the code takes them."""
        return Labels(
            classes={name: tuple(values) for name, values in self.classes.items()},
            ignore=self.ignore,
            regions_order=None if self.regions_order is None else tuple(self.regions_order),
        )


class Budget(Section):
    """How long to train: batch size x steps x epochs = samples."""

    epochs: PositiveInt = 1000
    steps_per_epoch: PositiveInt = 250
    time: PositiveFloat | None = None
    """Seconds for the whole command, or None."""
    expected_steps: PositiveInt | None = None
    """Steps that the time is expected to allow; the clock decides. None without a time budget."""


class Training(Section):
    """Optimiser, schedule and stopping."""

    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: PositiveFloat = 2e-3
    weight_decay: NonNegativeFloat = 1e-2
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Of SGD, with Nesterov's correction (nnU-Net: 0.99); AdamW has its own."""
    gradient_clip: PositiveFloat = 12.0
    """Largest norm of the gradient (nnU-Net: 12)."""
    schedule: Literal["wsd", "poly"] = "wsd"
    """wsd: warm-up, stable, cooldown; poly: nnU-Net's (1 - step/steps)^0.9."""
    warmup: Share = 0.02
    """Share of the planned steps during which the rate rises from zero."""
    cooldown: NonNegativeFloat = 0.6
    """Length of the cooldown as a share of the steps before it."""
    cooldown_shape: Literal["linear", "1-sqrt"] = "linear"
    patience: PositiveInt | None = 30
    """Epochs without improvement before the cooldown; null switches it off."""
    patience_share: Share = 0.25
    """The same as a share of the epochs so far: the longer wait of the two counts."""
    min_delta: NonNegativeFloat = 3e-3
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Weight of the past, for each epoch, in the running mean of the watched metric that patience looks at."""
    validate_every: Period = "1 epoch"
    """Distance of two validations, like "2 epochs" or "100 steps"."""
    checkpoint_seconds: PositiveFloat = 600.0
    """A checkpoint is written at each epoch's end, and after this many seconds at the latest."""
    monitor: str = "val_dice"
    """Column of metrics.csv that is watched."""
    ema: Annotated[float, Field(ge=0, le=0.25)] = 0.05
    """Width of the weight average relative to the steps so far (Karras et al. 2024); 0 switches it off."""
    oversample_foreground: Share = 0.33
    """Share of each batch whose patch is centred on a foreground voxel (nnU-Net: 0.33)."""
    precision: Literal["bfloat16", "float32"] = "float32"
    validation_share: Share = 0.1
    """Largest share of the training time that validation may take; 1: every case each time, whatever that takes."""
    seed: int = 0


class Plan(Section):
    """All of plan.json."""

    version: Literal[1] = PLAN_VERSION
    goodfit_version: str
    planner: Literal["measured", "nnunet", "nnunet_file"] = "nnunet"
    """measured: nnU-Net's rules, then fitted to the memory by the predicted peak; nnunet: nnU-Net's rules alone;
    nnunet_file: taken from a plans file of nnU-Net's."""
    memory: PositiveFloat
    """Bytes that the training may use."""
    predicted_memory: PositiveFloat | None = None
    """Bytes of the chosen configuration's training at its peak: resident in the process, on a GPU reserved there."""
    predicted_tensors: PositiveFloat | None = None
    """Bytes of these that are in tensors, the peak of torch's allocator."""
    estimated_memory: PositiveFloat | None = None
    """Bytes by nnU-Net's rule, which counts feature maps."""
    data: Data
    configuration: ConfigurationName
    configurations: dict[ConfigurationName, Configuration]
    budget: Budget = Field(default_factory=Budget)
    training: Training = Field(default_factory=Training)

    @model_validator(mode="after")
    def _chosen_exists(self) -> Plan:
        if self.configuration not in self.configurations:
            known = ", ".join(self.configurations)
            raise ValueError(f"configuration {self.configuration!r} is not in this plan, which has: {known}")
        for name, configuration in self.configurations.items():
            if configuration.previous_stage is not None and configuration.previous_stage not in self.configurations:
                raise ValueError(f"{name} needs the configuration {configuration.previous_stage}, which is missing")
        return self

    @property
    def chosen(self) -> Configuration:
        """The configuration to train."""
        return self.configurations[self.configuration]

    def with_chosen(self, configuration: Configuration) -> Plan:
        """Give the plan with another configuration in place of the one to train."""
        return self.model_copy(update={"configurations": {**self.configurations, self.configuration: configuration}})


def plan_error(source: str, error: ValidationError) -> PlanError:
    """Turn pydantic's report into one message naming each field."""
    lines = [f"  {'.'.join(str(part) for part in item['loc']) or 'plan'}: {item['msg']}" for item in error.errors()]
    return PlanError(f"{source}: this plan cannot be used.\n" + "\n".join(lines))


def parse_plan(value: object, source: str) -> Plan:
    """Validate the content of a plan file.

    Raises:
        PlanError: names each field that is wrong.
    """
    try:
        return Plan.model_validate(value)
    except ValidationError as error:
        raise plan_error(source, error) from error


def load_plan(path: Path) -> Plan:
    """Read plan.json; an edited plan is validated again.

    Raises:
        PlanError: the file is missing, is no JSON or has a field that cannot be; names each.
    """
    return parse_plan(read_json(path, PlanError), str(path))


def save_plan(plan: Plan, path: Path) -> None:
    """Write plan.json atomically."""
    write_text(path, plan.model_dump_json(indent=2) + "\n")
