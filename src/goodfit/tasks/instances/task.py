"""Finding instances as the training loop sees it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from goodfit.errors import SettingsError
from goodfit.planning.instances.plan import InstanceAugmentation
from goodfit.planning.watched import instance_metrics
from goodfit.tasks.instances.inference import detect_resized
from goodfit.tasks.instances.losses import DetectorLoss, detector_losses, fixed_losses, loss_parts, seeded
from goodfit.tasks.instances.metrics import average_precision
from goodfit.tasks.instances.network import build_detector
from goodfit.tasks.instances.sampling import InstanceFrames
from goodfit.tasks.instances.weights import load_weights
from goodfit.training.loading.pool import LoaderPool
from goodfit.training.recipe import Recipe
from goodfit.training.task import ValidationResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from goodfit.data.instances.model import Frame
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.tasks.instances.detection import Detection
    from goodfit.tasks.instances.sampling import FrameSource, InstanceBatch
    from goodfit.training.task import Losses, Subset

FEWEST_FIXED, MOST_FIXED = 4, 16
"""Frames of either set that the fixed losses look at; neighbouring ones resemble each other, so more say little more."""
FIXED_SHARE = 0.06
"""Fixed frames as a share of an epoch's samples: forward alone costs a third, so two sets cost some 4 % of an epoch."""


def network_of(plan: InstancePlan, recipe: Recipe, *, pretrained: bool) -> nn.Module:
    """Build the detector of a plan, or what the recipe makes of it.

    Args:
        plan: the plan.
        recipe: of the training.
        pretrained: begin with the plan's weights; False where others follow at once.

    Raises:
        PlanError: the weights to begin with are missing or do not fit.
        SettingsError: what the recipe makes is no detector as torchvision makes them.
    """

    def default() -> nn.Module:
        network = build_detector(plan)
        if pretrained:
            load_weights(network, plan)
        return network

    network = recipe.build_network(plan, default)
    lacking = [name for name in ("rpn", "roi_heads") if not isinstance(getattr(network, name, None), nn.Module)]
    if lacking:
        raise SettingsError(
            f"recipe {type(recipe).__name__}.build_network: the network has no {' and no '.join(lacking)}. Of instances, "
            "give a detector like torchvision's GeneralizedRCNN, whose losses and detections the training reads."
        )
    return network


def augmentation_of(plan: InstancePlan, recipe: Recipe) -> InstanceAugmentation | None:
    """Give how training frames are changed: the plan's section, or what the recipe makes of it; None: not at all.

    Raises:
        SettingsError: the recipe makes something else.
    """
    made = recipe.build_augmentation(plan, lambda: plan.augmentation)
    if made is not None and not isinstance(made, InstanceAugmentation):
        raise SettingsError(
            f"recipe {type(recipe).__name__}.build_augmentation: gives {type(made).__name__}. Of instances, give "
            "InstanceAugmentation (goodfit.planning.instances.plan), which the default is, or None."
        )
    return made


def fixed_count(plan: InstancePlan) -> int:
    """Number of fixed frames whose losses can be measured each epoch without being felt."""
    samples = plan.batch_size * plan.budget.steps_per_epoch
    return max(FEWEST_FIXED, min(MOST_FIXED, round(FIXED_SHARE * samples)))


def spread_over_groups(frames: Sequence[Frame], seed: int) -> list[Frame]:
    """Shuffle frames so that the first few come from as many videos as there are.

    Videos come in turn, in a random order, each with its frames in a random order.
    """
    generator = np.random.default_rng(seed)
    groups: dict[str, list[Frame]] = {}
    for place in generator.permutation(len(frames)):
        groups.setdefault(frames[place].group, []).append(frames[place])
    turns = [(turn, video, frame) for video, own in enumerate(groups.values()) for turn, frame in enumerate(own)]
    return [frame for _, _, frame in sorted(turns, key=lambda entry: entry[:2])]


class InstanceTask:
    """Trains the detector of a plan on decoded frames.

    Args:
        plan: the plan.
        store: decoded frames at the size the network sees.
        train: training frames, sorted by video and time.
        validation: validation frames.
        device: where the network runs.
        workers: loader processes; 0 makes batches in this process.
        weights: how often each training frame is drawn, relative to the others; None for all alike.
        pretrained: begin with the plan's weights; False where others follow at once, as when a run goes on.
        recipe: makes network, loss and augmentation where they are not to be the plan's.

    Raises:
        PlanError: the weights to begin with are missing or do not fit.
        SettingsError: a method of the recipe makes something that cannot be used.
    """

    def __init__(
        self,
        plan: InstancePlan,
        store: FrameSource,
        train: Sequence[Frame],
        validation: Sequence[Frame],
        device: torch.device,
        workers: int,
        *,
        weights: Sequence[float] | npt.NDArray[np.float64] | None = None,
        pretrained: bool = True,
        recipe: Recipe | None = None,
    ) -> None:
        recipe = recipe or Recipe()
        seed, masks = plan.training.seed, plan.model.masks
        self._plan, self._device = plan, device
        torch.manual_seed(seed)
        network = network_of(plan, recipe, pretrained=pretrained)
        self._loss = recipe.build_loss(plan, DetectorLoss).to(device)
        # Channels last: a fifth faster on CPUs in bfloat16, and what GPUs' tensor cores want.
        self._network: nn.Module = network.to(device).to(memory_format=torch.channels_last)
        self._frames = InstanceFrames(
            store,
            train,
            masks=masks,
            seed=seed,
            batch_size=plan.batch_size,
            weights=weights,
            augmentation=augmentation_of(plan, recipe),
            fill=[round(255 * mean) for mean in plan.data.mean],
        )
        self._validation = spread_over_groups(validation, seed)
        fixed = fixed_count(plan)
        self._fixed = {
            "train": self._unchanged(store, spread_over_groups(train, seed)[:fixed]),
            "validation": self._unchanged(store, self._validation[:fixed]),
        }
        self._validation_frames = self._unchanged(store, self._validation)
        self._pool = LoaderPool(self._frames, workers=workers, pin_memory=device.type == "cuda")

    def _unchanged(self, store: FrameSource, frames: Sequence[Frame]) -> InstanceFrames:
        return InstanceFrames(
            store, frames, masks=self._plan.model.masks, seed=self._plan.training.seed, batch_size=self._plan.batch_size
        )

    @property
    def network(self) -> nn.Module:
        """The detector being trained."""
        return self._network

    @property
    def metric_columns(self) -> Sequence[str]:
        """Average precision: of masks where there are any, then of boxes, then of each category."""
        return instance_metrics(self._plan.data.categories, masks=self._plan.model.masks)

    @property
    def loss_parts(self) -> Sequence[str]:
        """The losses of the region proposals and of the heads."""
        return loss_parts(masks=self._plan.model.masks)

    @property
    def validation_cases(self) -> int:
        """Number of validation frames."""
        return len(self._validation)

    def step_size(self, step: int) -> float:
        """1: frames keep their size."""
        return 1.0

    def batches(self, first_step: int, last_step: int) -> Iterator[InstanceBatch]:
        """Batches of the steps, augmented."""
        return self._pool.batches(first_step, last_step)

    def close(self) -> None:
        """End the loader's processes."""
        self._pool.close()

    def loss(self, network: nn.Module, batch: InstanceBatch, step: int) -> Losses:
        """Run the detector; which regions the losses look at is drawn from seed and step alone."""
        seed = self._plan.training.seed + step
        with seeded(seed, self._device), torch.autocast(self._device.type, torch.bfloat16, enabled=self._in_bfloat16):
            return detector_losses(network, *batch.tensors(self._device), self._loss)

    @property
    def _in_bfloat16(self) -> bool:
        return self._plan.training.precision == "bfloat16"

    def fixed_loss(self, network: nn.Module, subset: Subset) -> Mapping[str, float]:
        """Mean losses over the same frames every time, without augmentation."""
        frames = self._fixed[subset]
        size = self._plan.batch_size
        count = len(frames)
        batches = (frames.listed(range(first, min(first + size, count))) for first in range(0, count, size))
        return fixed_losses(network, batches, self._plan.training.seed, self._device, self._loss)

    def validate(self, network: nn.Module, cases: int, still_wanted: Callable[[], None]) -> ValidationResult:
        """COCO's average precision on whole validation frames; the first few come from as many videos as possible."""
        started = time.perf_counter()
        found: list[Detection] = []
        size = self._plan.batch_size
        for first in range(0, cases, size):
            still_wanted()
            last = min(first + size, cases)
            batch = self._validation_frames.listed(range(first, last))
            shapes = [(frame.height, frame.width) for frame in self._validation[first:last]]
            found += detect_resized(network, batch.images, shapes, self._plan, self._device)
        return ValidationResult(self._score(self._validation[:cases], found), cases, time.perf_counter() - started)

    def _score(self, frames: Sequence[Frame], found: Sequence[Detection]) -> dict[str, float]:
        categories, masks = self._plan.data.categories, self._plan.model.masks
        main = average_precision(frames, found, categories, "segm" if masks else "bbox")
        metrics = {"val_ap": main.ap, "val_ap50": main.ap50, "val_ap75": main.ap75}
        if masks:
            boxes = average_precision(frames, found, categories, "bbox")
            metrics |= {"val_box_ap": boxes.ap, "val_box_ap50": boxes.ap50}
        return metrics | {f"val_ap_{name}": value for name, value in main.categories.items()}
