"""Segmentation as the training loop sees it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from goodfit.tasks.segmentation.augmentation import apply, augmentation_settings
from goodfit.tasks.segmentation.inference import predict_preprocessed
from goodfit.tasks.segmentation.loss import SegmentationLoss
from goodfit.tasks.segmentation.metrics import dice_counts, dice_of_counts
from goodfit.tasks.segmentation.network import build_network, deep_supervision_strides
from goodfit.tasks.segmentation.sampling import PatchDataset, fixed_patches, training_loader
from goodfit.training.task import ValidationResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from goodfit.planning.plan import Plan
    from goodfit.preprocessing.store import Store
    from goodfit.tasks.segmentation.sampling import Batch

VALIDATION_PATCHES = 16
"""Fixed patches of the validation loss; more say little more, since neighbouring patches resemble each other."""


class SegmentationTask:
    """Trains the chosen configuration of a plan on a preprocessed store.

    Args:
        plan: the plan.
        store: preprocessed cases of the chosen configuration.
        train: names of the training cases.
        validation: names of the validation cases; shuffled, so that the first few are a fair subset.
        device: where the network runs.
        workers: loader processes; 0 cuts patches in this process.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        train: Sequence[str],
        validation: Sequence[str],
        device: torch.device,
        workers: int,
    ) -> None:
        training, configuration = plan.training, plan.chosen
        self._plan, self._store, self._device, self._workers = plan, store, device, workers
        self._labels = plan.data.labels
        torch.manual_seed(training.seed)
        self._network = build_network(
            configuration.network, len(plan.data.channels), self._labels.outputs, configuration.dims
        ).to(device)
        self._loss = SegmentationLoss(
            self._labels, configuration.batch_dice, deep_supervision_strides(configuration.network)
        ).to(device)
        self._patches = PatchDataset(
            store,
            train,
            configuration,
            seed=training.seed,
            augmentation=augmentation_settings(configuration, plan.data.use_mask),
            oversample=training.oversample_foreground,
            annotated_only=self._labels.ignore is not None,
        )
        order = np.random.default_rng(training.seed).permutation(len(validation))
        self._validation = [validation[index] for index in order]
        fixed = PatchDataset(
            store,
            self._validation,
            configuration,
            seed=training.seed,
            oversample=training.oversample_foreground,
            annotated_only=self._labels.ignore is not None,
        )
        self._fixed = list(fixed_patches(fixed, VALIDATION_PATCHES))

    @property
    def network(self) -> nn.Module:
        """The network being trained."""
        return self._network

    @property
    def metric_columns(self) -> Sequence[str]:
        """Mean Dice and the Dice of each class."""
        return ("val_dice", *(f"val_dice_{name}" for name in self._labels.names))

    @property
    def validation_cases(self) -> int:
        """Number of validation cases."""
        return len(self._validation)

    def batches(self, first_step: int, last_step: int) -> Iterator[Batch]:
        """Batches of the steps, before augmentation."""
        return training_loader(
            self._patches,
            first_step=first_step,
            last_step=last_step,
            workers=self._workers,
            pin_memory=self._device.type == "cuda",
        )

    def loss(self, network: nn.Module, batch: Batch, step: int) -> Tensor:
        """Augment, run, compare."""
        moved = batch.to(self._device)
        assert moved.parameters is not None, "training batches come with their augmentation"
        images, labels = apply(moved.images, moved.labels, moved.parameters)
        return self._compare(network, images, labels)

    def _compare(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._plan.training.precision == "bfloat16"):
            outputs = network(images)
        loss: Tensor = self._loss(outputs, labels)
        return loss

    def validation_loss(self, network: nn.Module) -> float:
        """Mean loss over the fixed patches, with deep supervision as in training."""
        losses = []
        for batch in self._fixed:
            moved = batch.to(self._device)
            losses.append(self._compare(network, moved.images, moved.labels).item() * len(batch.cases))
        return sum(losses) / sum(len(batch.cases) for batch in self._fixed)

    def validate(self, network: nn.Module, cases: int) -> ValidationResult:
        """Dice of whole cases, in the preprocessed space: mean over cases of each class, then over classes."""
        started = time.perf_counter()
        per_case: list[list[float]] = []
        for name in self._validation[:cases]:
            case = self._store.case(name)
            predicted = predict_preprocessed(
                network,
                torch.from_numpy(np.asarray(case.image[...])),
                self._plan.chosen,
                self._labels,
                device=self._device,
                precision=self._plan.training.precision,
            )
            per_case.append(dice_of_counts(dice_counts(predicted, np.asarray(case.label[0]), self._labels)))
        scores = np.array(per_case, dtype=np.float64)
        known = ~np.isnan(scores)
        counted = known.sum(axis=0)
        sums = np.where(known, scores, 0.0).sum(axis=0)
        classes = [float(s / n) if n else float("nan") for s, n in zip(sums, counted, strict=True)]
        seen = [value for value in classes if not np.isnan(value)]
        mean = sum(seen) / len(seen) if seen else float("nan")
        values = dict(zip(self.metric_columns, (mean, *classes), strict=True))
        return ValidationResult(values, len(per_case), time.perf_counter() - started)
