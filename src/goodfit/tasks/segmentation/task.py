"""Segmentation as the training loop sees it."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from goodfit.planning.watched import segmentation_metrics
from goodfit.tasks.segmentation.augmentation import apply, augmentation_settings
from goodfit.tasks.segmentation.cascade.one_hot import WithPreviousStage, append_previous
from goodfit.tasks.segmentation.inference import predict_preprocessed
from goodfit.tasks.segmentation.loss import SegmentationLoss
from goodfit.tasks.segmentation.metrics import dice_counts, dice_of_counts
from goodfit.tasks.segmentation.network import build_network, deep_supervision_strides
from goodfit.tasks.segmentation.sampling import PatchDataset, fixed_patches, patch_loader, room_for_cases
from goodfit.training.recipe import Recipe
from goodfit.training.task import TOTAL, Losses, ValidationResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy.typing as npt
    from torch import Tensor, nn

    from goodfit.planning.plan import Plan
    from goodfit.tasks.segmentation.augmentation.settings import AugmentationSettings
    from goodfit.tasks.segmentation.case_cache import PatchSource, StoredPatches
    from goodfit.tasks.segmentation.sampling import Batch
    from goodfit.training.task import Subset

FEWEST_FIXED, MOST_FIXED = 4, 32
"""Patches of the fixed losses; more say little more, since neighbouring patches resemble each other."""
FIXED_SHARE = 0.06
"""Fixed patches as a share of an epoch's samples: forward alone costs a third, so two sets cost 4 % of an epoch."""


def network_of(plan: Plan, recipe: Recipe) -> nn.Module:
    """Build the network of the chosen configuration, or what the recipe makes of it."""
    configuration = plan.chosen
    return recipe.build_network(
        plan,
        lambda: build_network(
            configuration.network,
            plan.data.input_channels(configuration),
            plan.data.labels.outputs,
            configuration.dims,
        ),
    )


def augmentation_of(plan: Plan, recipe: Recipe) -> AugmentationSettings:
    """Make the augmentation of the chosen configuration, or what the recipe makes of it."""
    settings: AugmentationSettings = recipe.build_augmentation(
        plan,
        lambda: augmentation_settings(plan.chosen, plan.data.use_mask, plan.data.labels.foreground_values),
    )
    return settings


def fixed_count(plan: Plan) -> int:
    """Number of fixed patches whose losses can be measured each epoch without being felt."""
    samples = plan.chosen.batch_size * plan.budget.steps_per_epoch
    return max(FEWEST_FIXED, min(MOST_FIXED, round(FIXED_SHARE * samples)))


class SegmentationTask:
    """Trains the chosen configuration of a plan on a preprocessed store.

    Args:
        plan: the plan.
        store: preprocessed cases of the chosen configuration; of a cascade with the previous stage's labels
            (``cascade.inputs.CascadePatches``).
        train: names of the training cases.
        validation: names of the validation cases; shuffled, so that the first few are a fair subset.
        device: where the network runs.
        workers: loader processes; 0 cuts patches in this process.
        recipe: makes network, loss and augmentation where they are not to be the plan's.
    """

    def __init__(
        self,
        plan: Plan,
        store: PatchSource,
        train: Sequence[str],
        validation: Sequence[str],
        device: torch.device,
        workers: int,
        recipe: Recipe | None = None,
    ) -> None:
        recipe = recipe or Recipe()
        training, configuration = plan.training, plan.chosen
        self._plan, self._store, self._device = plan, store, device
        self._labels = plan.data.labels
        torch.manual_seed(training.seed)
        self._network = network_of(plan, recipe).to(device)
        self._loss = recipe.build_loss(
            plan,
            lambda: SegmentationLoss(
                self._labels, configuration.batch_dice, deep_supervision_strides(configuration.network)
            ),
        ).to(device)
        self._patches = PatchDataset(
            store,
            train,
            configuration,
            seed=training.seed,
            augmentation=augmentation_of(plan, recipe),
            smaller=[
                augmentation_of(plan.with_chosen(configuration.cut_as(stage)), recipe) for stage in configuration.growth
            ],
            oversample=training.oversample_foreground,
            annotated_only=self._labels.ignore is not None,
            keep_bytes=room_for_cases(plan.memory),
        )
        self._previous = () if configuration.previous_stage is None else self._labels.foreground_values
        self._loader = patch_loader(self._patches, workers=workers, pin_memory=device.type == "cuda")
        order = np.random.default_rng(training.seed).permutation(len(validation))
        self._validation = [validation[index] for index in order]
        subsets: dict[Subset, Sequence[str]] = {"train": train, "validation": self._validation}
        count = fixed_count(plan)
        self._fixed = {
            name: list(
                fixed_patches(
                    PatchDataset(
                        store,
                        cases,
                        configuration,
                        seed=training.seed,
                        oversample=training.oversample_foreground,
                        annotated_only=self._labels.ignore is not None,
                    ),
                    count,
                )
            )
            for name, cases in subsets.items()
        }

    @property
    def network(self) -> nn.Module:
        """The network being trained."""
        return self._network

    @property
    def metric_columns(self) -> Sequence[str]:
        """Mean Dice and the Dice of each class."""
        return segmentation_metrics(self._labels)

    @property
    def loss_parts(self) -> Sequence[str]:
        """None: Dice and cross-entropy are shown as their sum."""
        return ()

    @property
    def validation_cases(self) -> int:
        """Number of validation cases."""
        return len(self._validation)

    def step_size(self, step: int) -> float:
        """Voxels of the step's batch as a share of those of whole patches."""
        chosen = self._plan.chosen
        for stage in chosen.growth:
            if step < stage.until_step:
                small, whole = (one.batch_size * math.prod(one.patch_size) for one in (stage, chosen))
                return small / whole
        return 1.0

    def batches(self, first_step: int, last_step: int) -> Iterator[Batch]:
        """Batches of the steps, before augmentation."""
        return self._loader.batches(first_step, last_step)

    def close(self) -> None:
        """End the loader's processes."""
        self._loader.close()

    def loss(self, network: nn.Module, batch: Batch, step: int) -> Losses:
        """Augment, run, compare."""
        moved = batch.to(self._device)
        assert moved.parameters is not None, "training batches come with their augmentation"
        images, labels = apply(moved.images, moved.labels, moved.parameters)
        return Losses(self._compare(network, images, labels))

    def _compare(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._plan.training.precision == "bfloat16"):
            outputs = network(images)
        loss: Tensor = self._loss(outputs, labels)
        return loss

    def fixed_loss(self, network: nn.Module, subset: Subset) -> Mapping[str, float]:
        """Mean loss over the fixed patches of a subset, with deep supervision as in training."""
        losses, samples = 0.0, 0
        for batch in self._fixed[subset]:
            moved = batch.to(self._device)
            images, labels = moved.images, moved.labels
            if self._previous:
                images, labels = append_previous(images, labels, self._previous)
            losses += self._compare(network, images, labels).item() * len(batch)
            samples += len(batch)
        return {TOTAL: losses / samples}

    def _whole(self, case: StoredPatches) -> tuple[Tensor, npt.NDArray[Any]]:
        """Image and label (Z, Y, X) of a case; of a cascade with the previous stage's label map as last channel."""
        image, label = torch.from_numpy(np.asarray(case.image[...])), np.asarray(case.label[...])
        if not self._previous:
            return image, label[0]
        return torch.cat([image, torch.from_numpy(label[1:]).to(image.dtype)]), label[0]

    def validate(self, network: nn.Module, cases: int, still_wanted: Callable[[], None]) -> ValidationResult:
        """Dice of whole cases, in the preprocessed space: mean over cases of each class, then over classes."""
        started = time.perf_counter()
        if self._previous:
            network = WithPreviousStage(network, self._previous)
        per_case: list[list[float]] = []
        for name in self._validation[:cases]:
            still_wanted()
            case = self._store.case(name)
            image, label = self._whole(case)
            predicted = predict_preprocessed(
                network,
                image,
                self._plan.chosen,
                self._labels,
                device=self._device,
                precision=self._plan.training.precision,
                on_tiles=lambda _done, _all: still_wanted(),
            )
            per_case.append(dice_of_counts(dice_counts(predicted, label, self._labels)))
        scores = np.array(per_case, dtype=np.float64)
        known = ~np.isnan(scores)
        counted = known.sum(axis=0)
        sums = np.where(known, scores, 0.0).sum(axis=0)
        classes = [float(s / n) if n else float("nan") for s, n in zip(sums, counted, strict=True)]
        seen = [value for value in classes if not np.isnan(value)]
        mean = sum(seen) / len(seen) if seen else float("nan")
        values = dict(zip(self.metric_columns, (mean, *classes), strict=True))
        return ValidationResult(values, len(per_case), time.perf_counter() - started)
