"""Predicts the peak memory of training from traces of its steps on fake tensors (``step_trace``).

Two numbers come out. What is in *tensors*, the peak of torch's allocator, is traced. What the *process* takes, its
resident set on the CPU or its reserved memory on a GPU, is what a limit is about and what gets a process killed: it is
the tensors and the allowances that are stated beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from goodfit.errors import PlanError

if TYPE_CHECKING:
    from pathlib import Path

    from goodfit.planning.plan import Configuration
    from goodfit.planning.trace_cache import Lines
    from goodfit.planning.training_steps import TrainingSteps

Optimizer = Literal["sgd", "adamw"]
Precision = Literal["bfloat16", "float32"]

SMALLEST_BATCH = 2
"""nnU-Net never plans less."""

RESIDENT_SHARE = 1.08
"""Resident bytes per byte of the allocator: the C library cannot reuse every freed block. Measured over eleven networks
in 2D and 3D, bfloat16 and float32, batches of 1 to 16: with WORKSPACE and the process's own memory 1 to 4 % off."""
WORKSPACE = 60 * 10**6
"""Resident bytes of what the first step loads and keeps: code of the operators, compiled kernels, the autograd graph."""
GPU_SHARE = 1.1
GPU_WORKSPACE = 512 * 2**20
"""What torch reserves on a GPU beyond the tensors, where nothing has been measured: gaps between blocks, cuDNN."""

_GIB = 2**30


@dataclass(frozen=True)
class Allowances:
    """What a training takes beside its tensors.

    Attributes:
        context: bytes of the process before the first step, with its libraries. 0 on a GPU, whose free memory is asked
            for when the context is there already.
        workspace: bytes of the operators' code and buffers that no tensor owns.
        loader: bytes of the cases that the loader keeps in the training process.
        share: bytes taken for each byte in tensors.
        device: "cpu" or "cuda".
        measured: on what the numbers were measured, "" where they are assumed.
    """

    context: int = 0
    workspace: int = WORKSPACE
    loader: int = 0
    share: float = RESIDENT_SHARE
    device: Literal["cpu", "cuda"] = "cpu"
    measured: str = ""

    @property
    def fixed(self) -> int:
        """Bytes that do not depend on the tensors."""
        return self.context + self.workspace + self.loader

    def describe(self) -> str:
        """Name each in a sentence."""
        if self.device == "cuda":
            known = f"measured on {self.measured}" if self.measured else "assumed, until a training has measured it"
            return f"{self.share:g} times the tensors and {_gib(self.workspace)} that torch reserves besides ({known})"
        parts = [f"{self.share:g} times the tensors"]
        named = ("the process with its libraries", self.context), ("the operators' workspace", self.workspace)
        parts += [
            f"{_gib(size)} for {name}" for name, size in (*named, ("cases kept by the loader", self.loader)) if size
        ]
        return ", ".join(parts)


@dataclass(frozen=True)
class MemoryModel:
    """Memory of a training as a function of the batch.

    Attributes:
        lines: (fixed, per sample) bytes; the highest of these lines is what is in tensors at the peak.
        allowances: what comes on top.
        alone: on a CPU, what of the lines is written to with a batch of one: threads that have no sample leave their
            scratch memory untouched, so it never is resident. Empty: all of it.
    """

    lines: Lines
    allowances: Allowances
    alone: Lines = ()

    def predict(self, batch_size: int) -> MemoryPrediction:
        """Read the prediction for a batch off the lines."""
        return MemoryPrediction(batch_size, self)

    def tensors(self, batch_size: int) -> int:
        """Bytes in tensors at the peak."""
        return _highest(self.lines, batch_size)

    def touched(self, batch_size: int) -> int:
        """Bytes of the tensors that are written to."""
        return _highest(self.alone if batch_size == 1 and self.alone else self.lines, batch_size)

    def largest_batch(self, limit: float) -> int:
        """Largest batch that stays within ``limit`` bytes; 0 where not even one sample fits."""
        room = (limit - self.allowances.fixed) / self.allowances.share
        most = [
            math.floor((room - fixed) / each) if each > 0 else (0 if fixed > room else 2**31)
            for fixed, each in self.lines
        ]
        # Rounding up to whole bytes may have taken the last sample's place.
        fits = max(0, min(most))
        fits -= fits > 0 and self.predict(fits).process > limit
        return fits or int(self.predict(1).process <= limit)


@dataclass(frozen=True)
class MemoryPrediction:
    """Peak memory of one training with one batch size."""

    batch_size: int
    model: MemoryModel

    @property
    def tensors(self) -> int:
        """Bytes in tensors at the peak, scratch memory of operators included: the peak of torch's allocator."""
        return self.model.tensors(self.batch_size)

    @property
    def process(self) -> int:
        """Bytes that count against a limit: resident in the process, or reserved on the GPU."""
        allowances = self.model.allowances
        return math.ceil(allowances.fixed + allowances.share * self.model.touched(self.batch_size))

    @property
    def where(self) -> str:
        """Name the kind of memory that ``process`` is."""
        return "resident in the process" if self.model.allowances.device == "cpu" else "reserved on the GPU"

    def describe_tensors(self) -> str:
        """Say in one sentence what is in tensors."""
        each = self.model.tensors(self.batch_size + 1) - self.tensors
        return (
            f"traced: a batch of {self.batch_size} takes {_gib(self.tensors)} in tensors at the peak of torch's allocator, "
            f"{_gib(each)} more for each further sample"
        )

    def describe(self) -> str:
        """Say in one sentence what the process takes."""
        return (
            f"a batch of {self.batch_size} takes {_gib(self.tensors)} in tensors and {_gib(self.process)} {self.where}: "
            f"{self.model.allowances.describe()}"
        )

    def refuse_if_too_large(self, limit: float) -> None:
        """Refuse a batch that does not fit.

        Args:
            limit: bytes that may be used.

        Raises:
            PlanError: more than ``limit`` bytes would be needed; says how many, and what to do.
        """
        if self.process <= limit:
            return
        fits = self.model.largest_batch(limit)
        if fits >= 1:
            remedy = f"Use a batch of {fits} or less (--batch-size, or batch_size in plan.json)"
        else:
            remedy = "Not even one sample fits: use a smaller --patch-size or --image-size, or a smaller network"
        raise PlanError(
            f"batch_size {self.batch_size}: training is predicted to need {_gib(self.process)} {self.where} "
            f"({_gib(self.tensors)} in tensors); {_gib(limit)} may be used. {remedy}, free some memory, or try it "
            "with --force."
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
    allowances: Allowances | None = None,
    cache: Path | None = None,
) -> MemoryPrediction:
    """Predict the peak memory of a segmentation training, from traces of two batch sizes.

    Args:
        configuration: gives patch and network, and the batch size unless told.
        channels: input channels of the network.
        outputs: output channels of the network (``Labels.outputs``).
        optimizer: what holds state beside the weights.
        precision: bfloat16 means autocast, as the training does it.
        ema: whether an average of the weights is kept.
        batch_size: another batch than the configuration's.
        allowances: what comes on top; None for a CPU, without the process itself.
        cache: folder that keeps traces of earlier calls; None traces once in a process.
    """
    import torch

    # Tracing needs torch; the rules of planning that import this module do not.
    from goodfit.planning.training_steps import TrainingSteps

    allowances = allowances or Allowances()
    steps = TrainingSteps(
        configuration.model_copy(
            update={"batch_size": 1, "spacing": [1.0] * 3, "median_shape": [1.0] * 3}
        ).model_dump_json(exclude={"reasons": True, "network": {"reasons"}}),
        channels,
        outputs,
        optimizer,
        precision,
        ema,
    )
    threads = torch.get_num_threads() if allowances.device == "cpu" else 0
    batch_size = configuration.batch_size if batch_size is None else batch_size
    alone = _lines(steps, 1, cache) if batch_size == 1 and threads > 1 else ()
    return MemoryModel(_lines(steps, threads, cache), allowances, alone).predict(batch_size)


def _lines(steps: TrainingSteps, threads: int, cache: Path | None) -> Lines:
    from goodfit.planning import operator_scratch, step_trace, trace_cache, training_steps
    from goodfit.tasks.segmentation import loss, network
    from goodfit.training import ema, optimizer

    modules = operator_scratch, step_trace, training_steps, loss, network, ema, optimizer
    key = trace_cache.trace_key((steps, threads), modules)
    return trace_cache.remembered(cache, key, lambda: _traced(steps, threads))


@lru_cache(maxsize=64)
def _traced(steps: TrainingSteps, threads: int) -> Lines:
    from goodfit.planning.step_trace import trace_peaks

    return trace_peaks(steps.take, threads)


def _highest(lines: Lines, batch_size: int) -> int:
    return math.ceil(max(fixed + each * batch_size for fixed, each in lines))


def _gib(size: float) -> str:
    return f"{size / _GIB:.2f} GiB"
