"""Timing real training steps of a configuration on random data."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from goodfit.tasks.segmentation.augmentation import apply, augmentation_settings, draw
from goodfit.tasks.segmentation.loss import SegmentationLoss
from goodfit.tasks.segmentation.network import build_network, deep_supervision_strides
from goodfit.training.ema import WeightAverage
from goodfit.training.micro_batches import seconds_within_memory
from goodfit.training.optimizer import build_optimizer

if TYPE_CHECKING:
    from goodfit.planning.plan import Configuration, Data, Training

MOST_STEPS = 8
LONG_ENOUGH = 2.0
"""Seconds of timed steps after which, if there are two, no more are timed."""


def time_step(configuration: Configuration, data: Data, training: Training, device: torch.device) -> float:
    """Give the seconds of one training step: augmentation, network, loss, optimizer, weight average.

    One step warms up; of two to eight more the fastest is taken: what slows a step down for a moment (other
    processes) is not the step's. A batch too large for the memory is timed in parts, as it would be trained.
    The global random state is as before.
    """

    def measure(batch: int) -> float:
        return _fastest(configuration.model_copy(update={"batch_size": batch}), data, training, device)

    return seconds_within_memory(measure, configuration.batch_size, device)


def _fastest(configuration: Configuration, data: Data, training: Training, device: torch.device) -> float:
    labels = data.labels
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        network = build_network(
            configuration.network, data.input_channels(configuration), labels.outputs, configuration.dims
        ).to(device)
        settings = augmentation_settings(configuration, data.use_mask, labels.foreground_values)
        shape = settings.initial_patch_size
        images = torch.randn(configuration.batch_size, len(data.channels), *shape, device=device)
        maps = 1 if settings.previous is None else 2
        targets = torch.zeros(configuration.batch_size, maps, *shape, dtype=torch.int16, device=device)
    targets[..., : shape[-1] // 2] = labels.foreground_values[0]
    criterion = SegmentationLoss(labels, configuration.batch_dice, deep_supervision_strides(configuration.network))
    criterion.to(device)
    optimizer = build_optimizer(network, training)
    average = WeightAverage(network, training.ema)
    seconds: list[float] = []
    for step in range(1 + MOST_STEPS):
        if step > 2 and sum(seconds[1:]) > LONG_ENOUGH:
            break
        started = time.perf_counter()
        parameters = draw(settings, training.seed, step, configuration.batch_size, len(data.channels))
        augmented, target = apply(images, targets, parameters)
        with torch.autocast(device.type, torch.bfloat16, enabled=training.precision == "bfloat16"):
            outputs = network(augmented)
        loss = criterion(outputs, target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), training.gradient_clip)
        loss.item()  # waits for a GPU
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(network, step + 1)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])
