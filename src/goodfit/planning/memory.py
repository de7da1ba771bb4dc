"""Predicts the peak memory of training by tracing real steps on fake tensors, without allocating or computing them.

The memory of a step grows linearly with the batch: weights, gradients, optimizer state and weight average do not
depend on it, activations and their gradients are proportional to it. Two traces therefore give the line, and the
line gives the largest batch. Everything that leans on torch's internals (FakeTensorMode, MemTracker) is in here.
"""

from __future__ import annotations

import gc
import math
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from goodfit.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from goodfit.planning.plan import Configuration

Optimizer = Literal["sgd", "adamw"]
Precision = Literal["bfloat16", "float32"]

TRACED_STEPS = 2
"""Optimizer state appears in the first step; the second has all of it."""

SMALLEST_BATCH = 2
"""nnU-Net never plans less."""

PROCESS_BASE = 800 * 2**20
"""Resident bytes of a process that has imported torch and the networks, before the first step."""

PROCESS_FACTOR = 1.5
"""Resident bytes per traced byte on the CPU: convolutions reorder their operands into scratch buffers that no tensor
owns, and the C library keeps freed blocks. Measured over networks, batches and both precisions: 1.1 to 1.7; with
PROCESS_BASE the prediction was 4 to 28 % above the measured resident peak, never below it."""

_GIB = 2**30


@dataclass(frozen=True)
class MemoryPrediction:
    """Peak memory of one training process, in bytes.

    Attributes:
        batch_size: the batch the prediction is for.
        tensors: bytes in tensors at the peak; on a GPU this is what the allocator hands out.
        process: resident bytes of a training process on the CPU; the workers that load data come on top.
        per_sample: bytes in tensors that each sample of the batch adds.
        fixed: bytes in tensors that do not depend on the batch.
    """

    batch_size: int
    tensors: int
    process: int
    per_sample: int
    fixed: int

    @classmethod
    def from_line(cls, batch_size: int, per_sample: int, fixed: int) -> MemoryPrediction:
        """Read the prediction for a batch off the line."""
        tensors = fixed + per_sample * batch_size
        return cls(batch_size, tensors, _process_bytes(tensors), per_sample, fixed)

    def describe(self) -> str:
        """Say it in one sentence."""
        return (
            f"a batch of {self.batch_size} needs {_gib(self.tensors)} in tensors at its peak "
            f"({_gib(self.fixed)} fixed and {_gib(self.per_sample)} per sample), "
            f"about {_gib(self.process)} for the whole process"
        )

    def largest_batch(self, limit: float) -> int:
        """Largest batch whose process stays within ``limit`` bytes; 0 where not even one sample fits."""
        tensors = (limit - PROCESS_BASE) / PROCESS_FACTOR
        return max(0, math.floor((tensors - self.fixed) / self.per_sample))

    def refuse_if_too_large(self, limit: float) -> None:
        """Refuse a batch that does not fit.

        Raises:
            PlanError: the process would need more than ``limit`` bytes; says how many, and what to do.
        """
        if self.process <= limit:
            return
        fits = self.largest_batch(limit)
        if fits >= SMALLEST_BATCH:
            remedy = f"Use --batch-size {fits} or less"
        else:
            remedy = f"Not even a batch of {SMALLEST_BATCH} fits: use a smaller --patch-size or a smaller network"
        raise PlanError(
            f"batch_size {self.batch_size}: training is predicted to need {_gib(self.process)} of memory, "
            f"{_gib(limit)} may be used. {remedy}, or free some memory."
        )


def predict_training_memory(
    configuration: Configuration,
    channels: int,
    outputs: int,
    *,
    optimizer: Optimizer,
    precision: Precision,
    ema: bool,
    batch_size: int | None = None,
) -> MemoryPrediction:
    """Predict the peak memory of training, from traces of two batch sizes; repeated calls cost nothing.

    Args:
        configuration: gives patch and network, and the batch size unless told.
        channels: input channels.
        outputs: output channels of the network (``Labels.outputs``).
        optimizer: what holds state beside the weights.
        precision: bfloat16 means autocast, as the training does it.
        ema: whether an average of the weights is kept.
        batch_size: another batch than the configuration's.
    """
    batch = configuration.batch_size if batch_size is None else batch_size
    settings = _Settings(
        network=configuration.network.model_dump_json(exclude={"reasons"}),
        patch_size=tuple(configuration.patch_size),
        batch_dice=configuration.batch_dice,
        channels=channels,
        outputs=outputs,
        optimizer=optimizer,
        precision=precision,
        ema=ema,
    )
    per_sample, fixed = _line(settings)
    return MemoryPrediction.from_line(batch, per_sample, fixed)


def available_memory(device: str) -> int:
    """Bytes that can still be taken: of main memory for "cpu", of the GPU's for "cuda" or "cuda:N"."""
    if device == "cpu":
        import psutil

        return int(psutil.virtual_memory().available)
    import torch

    free, _total = torch.cuda.mem_get_info(torch.device(device))
    return int(free)


@dataclass(frozen=True)
class _Settings:
    """All that the memory of a step depends on, except the batch; hashable."""

    network: str
    patch_size: tuple[int, ...]
    batch_dice: bool
    channels: int
    outputs: int
    optimizer: Optimizer
    precision: Precision
    ema: bool


@lru_cache(maxsize=64)
def _line(settings: _Settings) -> tuple[int, int]:
    """Trace two batch sizes; give bytes per sample and fixed bytes."""
    small, large = SMALLEST_BATCH, 2 * SMALLEST_BATCH
    at_small, at_large = _trace_peak(settings, small), _trace_peak(settings, large)
    per_sample = math.ceil((at_large - at_small) / (large - small))
    return per_sample, max(0, at_small - small * per_sample)


def _trace_peak(settings: _Settings, batch_size: int) -> int:
    """Run training steps on fake CPU tensors and give the largest sum of bytes alive at once."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker

    tracker = MemTracker()

    def before_step() -> None:
        tracker.reset_mod_stats()
        gc.collect()

    with _no_garbage_collection(), FakeTensorMode(), tracker:
        _train(settings, batch_size, before_step)
    return int(tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"])


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep Python from freeing reference cycles at a moment of its own choice, which would change the peak."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _train(settings: _Settings, batch_size: int, before_step: Callable[[], None]) -> None:
    """Take the steps of the training loop on blank images; under FakeTensorMode nothing is computed."""
    import torch

    from goodfit.data.labels import Labels
    from goodfit.planning.plan import NetworkPlan, Training
    from goodfit.tasks.segmentation.loss import SegmentationLoss
    from goodfit.tasks.segmentation.network import build_network, deep_supervision_strides
    from goodfit.training.ema import WeightAverage
    from goodfit.training.optimizer import build_optimizer

    plan = NetworkPlan.model_validate_json(settings.network)
    training = Training(optimizer=settings.optimizer, precision=settings.precision)
    # Plain labels stand for regions too: the softmax loss holds as many tensors as the sigmoid one.
    labels = Labels({str(value): (value,) for value in range(1, settings.outputs)})
    network = build_network(plan, settings.channels, settings.outputs, len(settings.patch_size))
    criterion = SegmentationLoss(labels, settings.batch_dice, deep_supervision_strides(plan))
    optimizer = build_optimizer(network, training)
    average = WeightAverage(network, training.ema) if settings.ema else None
    for step in range(TRACED_STEPS):
        before_step()
        images = torch.zeros(batch_size, settings.channels, *settings.patch_size)
        label = torch.zeros(batch_size, 1, *settings.patch_size, dtype=torch.int16)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=settings.precision == "bfloat16"):
            outputs = network(images)
        loss = criterion(outputs, label)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), training.gradient_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if average is not None:
            average.update(network, step + 1)
        del outputs, loss  # as the loop does on leaving Task.loss


def _process_bytes(tensors: float) -> int:
    return round(PROCESS_BASE + PROCESS_FACTOR * tensors)


def _gib(size: float) -> str:
    return f"{size / _GIB:.2f} GiB"
