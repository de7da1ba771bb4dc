"""The memory of a detector's training, traced at the largest number of regions and objects that its plan allows."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from goodfit.planning.memory import Allowances, MemoryModel

if TYPE_CHECKING:
    from pathlib import Path

    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.planning.instances.training_steps import DetectorSteps
    from goodfit.planning.memory import MemoryPrediction
    from goodfit.planning.trace_cache import Lines


def predict_instance_memory(
    plan: InstancePlan, *, allowances: Allowances | None = None, cache: Path | None = None
) -> MemoryPrediction:
    """Predict the peak memory of training a detector, from traces of two batch sizes.

    Frames count at the largest size that augmentation gives them, regions and objects in as many as the plan allows.

    Args:
        plan: gives network, sizes, optimizer and batch.
        allowances: what comes on top; None for a CPU, without the process itself.
        cache: folder that keeps traces of earlier calls; None traces once in a process.
    """
    import torch

    # Tracing needs torch; the rules of planning do not.
    from goodfit.planning.instances.training_steps import DetectorSteps

    allowances = allowances or Allowances()
    on_cpu = allowances.device == "cpu"
    threads = torch.get_num_threads() if on_cpu else 0
    lines = _lines(DetectorSteps.of(plan, on_cpu=on_cpu), threads, cache)
    return MemoryModel(lines, allowances).predict(plan.batch_size)


def _lines(steps: DetectorSteps, threads: int, cache: Path | None) -> Lines:
    from goodfit.planning import operator_scratch, step_trace, trace_cache
    from goodfit.planning.instances import training_steps
    from goodfit.tasks.instances import align, backbones, network, norms, regions
    from goodfit.training import ema, optimizer

    modules = (operator_scratch, step_trace, training_steps, align, backbones, network, norms, regions, ema, optimizer)
    key = trace_cache.trace_key((steps, threads), modules)
    return trace_cache.remembered(cache, key, lambda: _traced(steps, threads))


@lru_cache(maxsize=64)
def _traced(steps: DetectorSteps, threads: int) -> Lines:
    from goodfit.planning.step_trace import trace_peaks

    return trace_peaks(steps.take, threads)
