"""The steps of a segmentation training, to be traced on fake tensors: what the loop does, on blank images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from goodfit.data.labels import Labels
from goodfit.planning.plan import Configuration, Training
from goodfit.tasks.segmentation.augmentation import augmentation_settings
from goodfit.tasks.segmentation.loss import SegmentationLoss
from goodfit.tasks.segmentation.network import build_network, deep_supervision_strides
from goodfit.training.ema import WeightAverage
from goodfit.training.optimizer import build_optimizer

if TYPE_CHECKING:
    from goodfit.planning.memory import Optimizer, Precision

STEPS = 2
"""Optimizer state appears in the first step; the second has all of it."""


@dataclass(frozen=True)
class TrainingSteps:
    """All that the memory of a step depends on, except the batch; hashable.

    Attributes:
        configuration: patch, network and kind of Dice, as JSON of the plan's section without its reasons.
        channels: input channels of the network.
        outputs: output channels of the network.
        optimizer: what holds state beside the weights.
        precision: bfloat16 means autocast.
        ema: whether an average of the weights is kept.
    """

    configuration: str
    channels: int
    outputs: int
    optimizer: Optimizer
    precision: Precision
    ema: bool

    def take(self, batch: int) -> None:
        """Make everything and take the steps; under FakeTensorMode nothing is computed."""
        configuration = Configuration.model_validate_json(self.configuration)
        plan, patch = configuration.network, configuration.patch_size
        training = Training(optimizer=self.optimizer, precision=self.precision)
        # Plain labels stand for regions too: the softmax loss holds as many tensors as the sigmoid one.
        labels = Labels({str(value): (value,) for value in range(1, self.outputs)})
        network = build_network(plan, self.channels, self.outputs, configuration.dims)
        criterion = SegmentationLoss(labels, configuration.batch_dice, deep_supervision_strides(plan))
        optimizer = build_optimizer(network, training)
        average = WeightAverage(network, training.ema) if self.ema else None
        initial = augmentation_settings(configuration, (), labels.foreground_values).initial_patch_size
        for step in range(STEPS):
            # What the loader brings stays until the end of the step, beside the patches that are cut out of it.
            loaded = torch.zeros(batch, self.channels, *initial), torch.zeros(batch, 1, *initial, dtype=torch.int16)
            images = torch.zeros(batch, self.channels, *patch)
            label = torch.zeros(batch, 1, *patch, dtype=torch.int16)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.precision == "bfloat16"):
                outputs = network(images)
            loss = criterion(outputs, label)
            del outputs, images, label  # as the loop does on leaving Task.loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), training.gradient_clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if average is not None:
                average.update(network, step + 1)
            del loss, loaded
