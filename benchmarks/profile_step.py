"""Counts the floating-point work of goodfit's training step and says what its time goes to, in a process of its own.

machine_share.py calls it. The steps are those of the real loop under torch's profiler. Every operator's own time is
put down to one part: first to the part of the loop it is called from (augmentation, loss, optimizer, ...), which for
the backward pass of the loss is told by the operators that the forward pass recorded; else to its kind.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.profiler import record_function
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

import goodfit.tasks.segmentation.task
from goodfit.tasks.segmentation.loss import SegmentationLoss
from goodfit.training.ema import WeightAverage
from goodfit.training.loop import Trainer
from goodfit_step import BareStep, EnoughSteps, open_prepared, open_task, run_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from goodfit.training.progress import Report

    Event = Any  # torch.autograd.profiler_util.FunctionEvent, which has no types

REGION = "region: "
OPTIMIZER = "Optimizer."
"""What torch itself marks the optimizer's calls with."""
BACKWARD_SCOPE = 1
BACKWARD = "autograd::engine::evaluate_function: "
KINDS = {
    "convolution forward": ("aten::conv", "aten::convolution", "aten::_convolution", "aten::mkldnn_convolution"),
    "normalisation": ("aten::instance_norm", "aten::batch_norm", "aten::native_batch_norm", "aten::native_group_norm"),
    "activation": ("aten::leaky_relu", "aten::relu"),
    "copies": ("aten::copy_", "aten::cat", "aten::clone", "aten::contiguous", "aten::to", "aten::_to_copy"),
}
BACKWARD_KINDS = {
    "convolution backward": ("Convolution",),
    "normalisation": ("BatchNorm", "NativeBatchNorm", "InstanceNorm", "NativeGroupNorm"),
    "activation": ("LeakyRelu", "Relu"),
    "copies": ("ToCopy", "Cat", "Clone", "Copy", "torch::autograd::AccumulateGrad"),
}


def marked(region: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Let the profiler know where a part of the loop begins and ends."""

    @functools.wraps(function)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        with record_function(REGION + region):
            return function(*arguments, **options)

    return wrapper


def mark_parts() -> None:
    """Mark the parts of the loop that are no operators."""
    task: Any = goodfit.tasks.segmentation.task
    task.apply = marked("augmentation", task.apply)
    for owner, name, region in (
        (SegmentationLoss, "forward", "loss"),
        (WeightAverage, "update", "weight average"),
        (Trainer, "_next_batch", "loading"),
        (torch.nn.utils, "clip_grad_norm_", "gradient clipping"),
    ):
        setattr(owner, name, marked(region, getattr(owner, name)))


def count_flops(bare: BareStep) -> int:
    """Floating-point operations of forward and backward: convolutions and matrix products, an addition counting one."""
    with FlopCounterMode(display=False) as counter:
        bare.run()
    return int(counter.get_total_flops())


class Profiled:
    """Called by the loop after every step: profiles those after the first few."""

    def __init__(self, warmup: int, steps: int) -> None:
        self.profiler = profile(activities=[ProfilerActivity.CPU])
        self.first, self.last = warmup, warmup + steps
        self.began = self.seconds = 0.0

    def __call__(self, report: Report) -> None:
        """Begin, end or go on."""
        step = report.progress.control.step
        if step == self.first:
            self.profiler.start()
            self.began = time.perf_counter()
        if step == self.last:
            self.seconds = time.perf_counter() - self.began
            self.profiler.stop()
            raise EnoughSteps


def ancestors(event: Event) -> list[Event]:
    """The event and those it is called from, innermost first."""
    chain = []
    while event is not None:
        chain.append(event)
        event = event.cpu_parent
    return chain


def region_of(chain: Sequence[Event]) -> str | None:
    """Part of the loop that an operator is called from."""
    for event in chain:
        if event.name.startswith(REGION):
            return str(event.name[len(REGION) :])
        if event.name.startswith(OPTIMIZER):
            return "optimizer"
    return None


def kind_of(chain: Sequence[Event], loss: set[int]) -> str:
    """Part to which an operator outside of any region belongs.

    Args:
        chain: the operator and its callers.
        loss: sequence numbers of the operators that the loss recorded for its backward pass.
    """
    for event in chain:
        if event.name.startswith(BACKWARD):
            if event.sequence_nr in loss:
                return "loss"
            node = event.name[len(BACKWARD) :]
            return next((kind for kind, names in BACKWARD_KINDS.items() if node.startswith(names)), "other operators")
    for event in chain:
        for kind, names in KINDS.items():
            if event.name.startswith(names):
                return kind
    return "other operators"


def parts_of(events: Sequence[Event]) -> dict[str, float]:
    """Seconds of each part, on the thread that trains."""
    threads: dict[int, float] = defaultdict(float)
    for event in events:
        threads[event.thread] += event.self_cpu_time_total
    main_thread = max(threads, key=lambda thread: threads[thread])
    loss = {
        event.sequence_nr
        for event in events
        if event.sequence_nr >= 0 and event.scope != BACKWARD_SCOPE and region_of(ancestors(event)) == "loss"
    }
    parts: dict[str, float] = defaultdict(float)
    for event in events:
        if event.thread == main_thread:
            chain = ancestors(event)
            parts[region_of(chain) or kind_of(chain, loss)] += event.self_cpu_time_total / 1e6
    return parts


def main() -> None:
    """Count, profile, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--warmup", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    prepared = open_prepared(options.dataset, options.run)
    mark_parts()
    task = open_task(prepared)
    flops = count_flops(BareStep(task.network, prepared.plan))
    profiled = Profiled(options.warmup, options.steps)
    run_loop(prepared, task, profiled)
    parts = parts_of(profiled.profiler.events())
    result = {
        "flops": flops,
        "seconds_per_step": profiled.seconds / options.steps,
        "parts": {name: seconds / options.steps for name, seconds in parts.items()},
        "threads": torch.get_num_threads(),
        "batch_size": prepared.plan.chosen.batch_size,
        "patch_size": list(prepared.plan.chosen.patch_size),
        "features": list(prepared.plan.chosen.network.features),
        "precision": prepared.plan.training.precision,
    }
    options.out.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
