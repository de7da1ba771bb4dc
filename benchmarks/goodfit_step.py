"""Times steps of goodfit's own training loop, in a process of its own.

Every step of the loop is followed by a bare one (forward, backward and update of a copy of the network on one fixed
batch), so that both meet the same state of the machine. What is left of a step without the bare one is spent around
the network: loading, augmentation, loss, clipping, weight average, logging, progress bar.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from goodfit.cli.screen import Screen
from goodfit.commands.fitting import controller_settings, loader_workers
from goodfit.commands.plan import aim, prepare
from goodfit.commands.preprocess import fill_store
from goodfit.observer import Observer
from goodfit.tasks.segmentation.task import SegmentationTask
from goodfit.training.device import choose_device
from goodfit.training.loop import Trainer
from goodfit.training.optimizer import build_optimizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from goodfit.commands.plan import Prepared
    from goodfit.planning.plan import Plan
    from goodfit.training.progress import Report


class EnoughSteps(Exception):  # noqa: N818 (it is no error)
    """Leaves the training loop before its first validation."""


class BareStep:
    """The network alone: forward, backward and update on one fixed batch."""

    def __init__(self, network: nn.Module, plan: Plan) -> None:
        configuration = plan.chosen
        self.network = copy.deepcopy(network).train()
        self.optimizer = build_optimizer(self.network, plan.training)
        self.bfloat16 = plan.training.precision == "bfloat16"
        self.images = torch.randn(configuration.batch_size, len(plan.data.channels), *configuration.patch_size)

    def run(self) -> float:
        """Give the seconds of one step."""
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            outputs = self.network(self.images)
        # The coarsest output has weight 0 in the loss of both sides, so nothing flows back from it.
        used = outputs[: max(1, len(outputs) - 1)] if isinstance(outputs, (list, tuple)) else [outputs]
        torch.autograd.backward(used, [torch.full_like(output, 1e-6) for output in used])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - started


@dataclass
class Stopwatch:
    """Called by the loop after every step."""

    bare_step: BareStep
    screen: Screen
    warmup: int
    steps: int
    whole: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    step_began: float | None = None

    def __call__(self, report: Report) -> None:
        """Note a step's seconds, take a bare step, start the clock of the next."""
        self.screen.trained(report)
        now = time.perf_counter()
        if self.step_began is not None:  # the first step has no beginning that is seen from here
            self.whole.append(now - self.step_began)
            self.bare.append(self.bare_step.run())
        if len(self.whole) == self.warmup + self.steps:
            raise EnoughSteps
        self.step_began = time.perf_counter()


def open_prepared(dataset: Path, run: Path) -> Prepared:
    """Open the planned run; the plan is what `goodfit plan` left there."""
    target = aim(dataset, run, fresh=False, settings=None)
    return prepare(target, Observer(), measure=True, started=time.monotonic())


def open_task(prepared: Prepared) -> SegmentationTask:
    """Make the task as `goodfit train` does, on the CPU."""
    plan, split = prepared.plan, prepared.split
    store = fill_store(prepared, Observer(), [plan.configuration])[plan.configuration]
    device = choose_device("cpu")
    return SegmentationTask(plan, store, split.train, split.validation, device, loader_workers(device, None))


def run_loop(prepared: Prepared, task: SegmentationTask, on_report: Callable[[Report], None]) -> None:
    """Run the loop until ``on_report`` raises ``EnoughSteps``.

    Raises:
        SystemExit: the first validation came before.
    """
    plan = prepared.plan
    trainer = Trainer(task, plan.training, controller_settings(prepared), prepared.run, on_report=on_report)
    try:
        trainer.train()
    except EnoughSteps:
        return
    raise SystemExit(f"fewer steps per epoch ({plan.budget.steps_per_epoch}) than are to be timed")


def time_steps(prepared: Prepared, warmup: int, steps: int) -> Stopwatch:
    """Run the loop until enough steps are timed."""
    task = open_task(prepared)
    with Screen() as screen:
        screen.stage("train")
        watch = Stopwatch(BareStep(task.network, prepared.plan), screen, warmup, steps)
        run_loop(prepared, task, watch)
    return watch


def main() -> None:
    """Time and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--warmup", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    prepared = open_prepared(options.dataset, options.run)
    watch = time_steps(prepared, options.warmup, options.steps)
    plan = prepared.plan
    result = {
        "seconds": watch.whole[options.warmup :],
        "bare_seconds": watch.bare[options.warmup :],
        "batch_size": plan.chosen.batch_size,
        "patch_size": list(plan.chosen.patch_size),
        "features": list(plan.chosen.network.features),
        "parameters": sum(p.numel() for p in watch.bare_step.network.parameters()),
        "precision": plan.training.precision,
        "optimizer": plan.training.optimizer,
        "threads": torch.get_num_threads(),
        "loader_processes": loader_workers(torch.device("cpu"), None),
    }
    options.out.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
