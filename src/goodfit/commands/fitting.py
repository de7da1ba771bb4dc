"""The training loop within a command, the same for every kind of task: clock, controller, identity, loggers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from goodfit.commands.initialise import initialise
from goodfit.commands.trained import flat, identity_of, remember
from goodfit.planning.period import steps_of
from goodfit.planning.watched import larger_is_better, refuse_unknown_monitor
from goodfit.training.controller import ControllerSettings
from goodfit.training.device import emulates, make_room_on
from goodfit.training.loggers import loggers
from goodfit.training.loop import Trainer
from goodfit.training.optimizer import build_optimizer
from goodfit.training.recipe import Recipe
from goodfit.training.run_folder import RunFolder, environment
from goodfit.training.watching.reserved_memory import noted_memory

if TYPE_CHECKING:
    from pathlib import Path

    from goodfit.commands.extensions import Extensions
    from goodfit.data.splits import Split
    from goodfit.observer import Observer
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.planning.plan import Plan
    from goodfit.settings import Settings
    from goodfit.tasks.instances.scores import InstanceScores
    from goodfit.tasks.segmentation.evaluation import Scores
    from goodfit.training.progress import Report
    from goodfit.training.task import BatchT, Task

LONGEST_WARMUP = 1000
REPORT_SECONDS = 12.0
"""Set aside from a time budget for loading weights, surface metrics and the report."""
SLOWER_THAN_VALIDATION = 1.4
"""Predicting a test case reads, resamples and writes files, which validation on the store does not."""


@dataclass(frozen=True)
class Clock:
    """The time budget of a whole command.

    Attributes:
        limit: seconds for the command, or None.
        started: ``time.monotonic()`` when it began.
        spent: seconds that earlier sittings took.
    """

    limit: float | None
    started: float
    spent: float

    def elapsed(self) -> float:
        """Seconds of the command so far, over all sittings."""
        return self.spent + time.monotonic() - self.started

    def left_for_training(self, seconds_per_case: float, test_cases: int) -> float:
        """Seconds that training may still take, with the scoring of the test cases set aside."""
        assert self.limit is not None, "only asked with a time budget"
        reserve = REPORT_SECONDS + SLOWER_THAN_VALIDATION * seconds_per_case * test_cases
        return self.limit - self.elapsed() - reserve


class Trainable(Protocol):
    """A planned run of any kind of task."""

    @property
    def plan(self) -> Plan | InstancePlan:
        """Its plan."""
        ...

    @property
    def split(self) -> Split:
        """Which cases train, validate and test."""
        ...

    @property
    def run(self) -> RunFolder:
        """Its folder."""
        ...

    @property
    def settings(self) -> Settings:
        """What the user asked for."""
        ...


@dataclass(frozen=True)
class TrainResult:
    """What a call of ``train`` leaves.

    Attributes:
        run: the run folder.
        finished: False when a signal interrupted the training; the next call goes on.
        scores: of the test cases, or None when the run is not finished.
        report: the page, or None.
    """

    run: RunFolder
    finished: bool
    scores: Scores | InstanceScores | None
    report: Path | None


def controller_settings(prepared: Trainable) -> ControllerSettings:
    """Translate the plan's budget and training sections for the controller."""
    plan = prepared.plan
    limit = plan.budget.epochs * plan.budget.steps_per_epoch
    expected = min(limit, plan.budget.expected_steps or limit)
    return ControllerSettings(
        epochs=plan.budget.epochs,
        steps_per_epoch=plan.budget.steps_per_epoch,
        warmup_steps=min(LONGEST_WARMUP, round(plan.training.warmup * expected)),
        cooldown=0.0 if plan.training.schedule == "poly" else plan.training.cooldown,
        patience=plan.training.patience,
        min_delta=plan.training.min_delta,
        monitor=plan.training.monitor,
        larger_is_better=larger_is_better(plan.training.monitor),
        smoothing=plan.training.smoothing,
        validate_every=steps_of(plan.training.validate_every, plan.budget.steps_per_epoch),
        patience_share=plan.training.patience_share,
    )


def fit_task(
    task: Task[BatchT],
    prepared: Trainable,
    clock: Clock,
    extensions: Extensions,
    observer: Observer,
    *,
    effort: float = 1.0,
) -> bool:
    """Train a task of any kind in the run's folder; give False when it was interrupted.

    Args:
        task: what is trained.
        prepared: the planned run.
        clock: of the time budget.
        extensions: the user's hooks and recipe.
        observer: told about the progress.
        effort: work of predicting a test case relative to a validation case.
    """
    plan, split, run, machine = prepared.plan, prepared.split, prepared.run, prepared.settings.machine
    device = next(task.network.parameters()).device
    why_slow = emulates(plan.training.precision, device)
    if why_slow is not None:
        observer.note(
            f"warning: training.precision is {plan.training.precision}, but {why_slow}: every step is many times slower "
            "than in float32 (--set training.precision=float32 for a new run)"
        )
    deadline = None
    if clock.limit is not None:
        if plan.training.schedule == "poly":
            observer.note(
                "warning: the polynomial schedule has a fixed end; the time holds only if steps take what was measured"
            )
        else:

            def deadline(seconds_per_case: float) -> float:
                return clock.left_for_training(effort * seconds_per_case, len(split.test))

    if not extensions.hooks:
        refuse_unknown_monitor(plan.training.monitor, task.metric_columns, task.loss_parts)
    if not run.last.is_file() and not run.previous.is_file():
        remember(run, plan, split)
        if prepared.settings.training.initialise_from is not None:
            initialise(task.network, plan, prepared.settings.training.initialise_from, run, observer)
    identity = identity_of(run)
    own_network = type(extensions.recipe).build_network is not Recipe.build_network
    observer.stage("train")
    run.update_record(
        status="training",
        identity=identity,
        own_network=own_network,
        environment=environment(str(device), torch.get_num_threads()),
    )

    def on_report(progress: Report) -> None:
        if progress.row is not None:
            run.update_record(spent_seconds=clock.elapsed())  # a killed process has spent its time, too
        observer.trained(progress)

    build = extensions.recipe.build_optimizer
    trainer = Trainer(
        task,
        plan.training,
        controller_settings(prepared),
        run,
        deadline=deadline,
        on_report=on_report,
        hooks=[
            *extensions.hooks,
            *loggers(machine.log or (), run.path.name, flat(plan.model_dump(mode="json"))),
            *([] if own_network else noted_memory(device, plan)),
        ],
        grace=machine.grace,
        optimizer=build(task.network, plan, lambda: build_optimizer(task.network, plan.training)),
        identity=identity,
        workers=loader_workers(device, machine.workers),
    )
    finished = trainer.train()
    make_room_on(device)
    return finished


def loader_workers(device: torch.device, asked: int | None) -> int:
    """Loader processes: as asked; else none beside a network on the CPU, where they would take its cores."""
    if asked is not None:
        return asked
    if device.type == "cpu":
        return 0
    import os

    return max(1, min(8, (os.cpu_count() or 2) - 1))
