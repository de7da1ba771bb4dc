"""Measures what torch reserves on a GPU for training, so that the next prediction knows its offset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from goodfit.planning import gpu_offset
from goodfit.planning.plan import Plan
from goodfit.training.hooks import Hook

if TYPE_CHECKING:
    from pathlib import Path

    from goodfit.planning.gpu_offset import Kind
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.training.hooks import Context

STEPS = 3
"""Steps after which the peak is read: by then all buffers are there, and no validation has been."""


class ReservedMemory(Hook):
    """Notes the peak of the reserved memory of the first steps beside the traced peak, once in a training.

    A batch that did not fit at once, and is computed in parts, tells nothing and is not noted.

    Args:
        device: the GPU.
        tensors: traced peak in bytes, of the same network and batch.
        kind: of task.
        folder: of the notes; None: the user's.
    """

    def __init__(self, device: torch.device, tensors: float, kind: Kind, folder: Path | None = None) -> None:
        self._device, self._tensors, self._kind, self._folder = device, tensors, kind, folder
        self._steps = self._failures = 0

    def before_train(self, context: Context) -> None:
        """Forget what was reserved before, as for timing other networks."""
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self._device)
        self._failures = self._failed()

    def after_step(self, context: Context) -> None:
        """Read the peak after a few steps."""
        self._steps += 1
        if self._steps == STEPS and self._failed() == self._failures:
            reserved = torch.cuda.max_memory_reserved(self._device)
            gpu_offset.remember(gpu_offset.name_of(self._device, self._kind), self._tensors, reserved, self._folder)

    def _failed(self) -> int:
        """Allocations that were refused so far."""
        return int(torch.cuda.memory_stats(self._device).get("num_ooms", 0))


def noted_memory(device: torch.device, plan: Plan | InstancePlan) -> list[Hook]:
    """Give the hook where there is a GPU, and a traced peak to compare with."""
    if device.type != "cuda" or plan.predicted_tensors is None:
        return []
    return [ReservedMemory(device, plan.predicted_tensors, "segmentation" if isinstance(plan, Plan) else "instances")]
