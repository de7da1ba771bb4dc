"""The whole way: from a folder of labelled cases to an evaluated model and a report."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from goodfit.commands.extensions import Extensions, find_extensions, with_extensions
from goodfit.commands.initialise import initialise, require_source
from goodfit.commands.plan import Prepared, aim, prepare
from goodfit.commands.predict import predict_test_cases
from goodfit.commands.preprocess import fill_store
from goodfit.commands.report import report
from goodfit.commands.trained import flat, identity_of, remember
from goodfit.data.instances.dataset import is_instance_dataset
from goodfit.errors import PlanError
from goodfit.observer import Observer
from goodfit.planning.arithmetic import describe_budget
from goodfit.planning.period import steps_of
from goodfit.planning.plan import Plan
from goodfit.planning.watched import larger_is_better, refuse_unknown_monitor
from goodfit.tasks.segmentation.task import SegmentationTask
from goodfit.training.controller import ControllerSettings
from goodfit.training.device import choose_device, make_room_on
from goodfit.training.loggers import loggers
from goodfit.training.loop import Trainer
from goodfit.training.optimizer import build_optimizer
from goodfit.training.recipe import Recipe
from goodfit.training.run_folder import RunFolder, environment, locked
from goodfit.training.watching.reserved_memory import noted_memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.data.splits import Split
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.settings import Settings
    from goodfit.tasks.instances.scores import InstanceScores
    from goodfit.tasks.segmentation.case_cache import PatchSource
    from goodfit.tasks.segmentation.evaluation import Scores
    from goodfit.training.hooks import Hook
    from goodfit.training.progress import Report
    from goodfit.training.task import BatchT, Task

logger = logging.getLogger(__name__)

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


def train(
    dataset: str | Path,
    *,
    run: str | Path | None = None,
    fresh: bool = False,
    settings: Mapping[str, Any] | None = None,
    hooks: Sequence[Hook] = (),
    recipe: type[Recipe] | str | None = None,
    split: Split | None = None,
    plan: Plan | InstancePlan | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> TrainResult:
    """Train on a dataset: check, fingerprint, plan, preprocess, train, predict, evaluate, report.

    What is there and still valid is not done again; an interrupted run goes on from its last checkpoint.

    Args:
        dataset: folder in nnU-Net's raw layout, with ``images/`` and ``labels/``, or with COCO annotations.
        run: the run folder; default runs/DATASET/DATE-TIME, or the newest one with these settings.
        fresh: start again in a new folder.
        settings: ``{"section.field": value}``, see ``goodfit.settings``.
        hooks: objects whose methods the loop calls, see ``goodfit.Hook``.
        recipe: a subclass of ``goodfit.Recipe``, or its name module:Class: its attributes stand for options that are
            not given, its methods make network, loss, optimizer and augmentation.
        split: which cases train, validate and test, in place of a derived split.
        plan: in place of a derived plan.
        observer: told about the progress.
        **options: shortcuts such as ``time="10m"``, ``epochs=100``, ``batch_size=4``, ``configuration="2d"``.

    Raises:
        GoodfitError: whatever a user can mend; the message names the thing and the way out.
    """
    if is_instance_dataset(Path(dataset)):
        from goodfit.commands.instances.train import train_instances

        if isinstance(plan, Plan):
            raise PlanError(f"plan: is one of a segmentation, and {dataset} holds frames with instances.")
        given = with_extensions(settings, options, hooks, recipe)
        return train_instances(
            dataset,
            run=run,
            fresh=fresh,
            settings=given,
            hooks=hooks,
            recipe=recipe,
            split=split,
            plan=plan,
            observer=observer,
        )
    if plan is not None and not isinstance(plan, Plan):
        raise PlanError(f"plan: is one of instances, and {dataset} holds images with labels.")
    started = time.monotonic()
    observer = observer or Observer()
    wishes = with_extensions(settings, options, hooks, recipe)
    target = aim(dataset, run, fresh=fresh, settings=wishes, split=split, plan=plan)
    if target.fresh or not target.run.last.is_file():
        require_source(target.settings.training.initialise_from)
    with locked(target.run.path, "run"):
        target.run.stop.unlink(missing_ok=True)  # what was asked of an earlier sitting
        # Folds that train side by side share a cache, which the first of them fills.
        with locked(target.cache, "dataset's cache", wait=split is not None and plan is not None):
            prepared = prepare(target, observer, measure=True, started=started)
            record = prepared.run.read_record()
            if record.get("status") == "finished":
                observer.note(
                    f"{prepared.run.path}: this run is finished. --fresh starts another, `goodfit extend` goes on."
                )
                scores = read_scores(prepared.run) if prepared.split.test else None
                return TrainResult(prepared.run, True, scores, prepared.run.report)
            extensions = find_extensions(prepared.settings.training, hooks, recipe)
            store = fill_store(prepared, observer, [prepared.plan.configuration])[prepared.plan.configuration]
        clock = Clock(prepared.plan.budget.time, started, float(record.get("spent_seconds", 0.0)))
        try:
            cases: PatchSource | None = store
            if prepared.plan.chosen.previous_stage is not None:
                # Imported here: the first stage is trained by commands that call this one.
                from goodfit.commands.cascade import prepare_cascade

                left = None if clock.limit is None else clock.limit - clock.elapsed()
                cases = prepare_cascade(prepared, store, left, observer, recipe)
            if cases is None or not _fit(prepared, cases, clock, extensions, observer):
                prepared.run.update_record(status="interrupted")
                return TrainResult(prepared.run, False, None, None)
            prepared.run.update_record(status="trained")
            scores = predict_test_cases(prepared, observer, extensions.recipe)
            page = report(prepared.run.path, observer=observer)
            prepared.run.update_record(status="finished")
        finally:
            prepared.run.update_record(spent_seconds=clock.elapsed())
    return TrainResult(prepared.run, True, scores, page)


def read_scores(run: RunFolder) -> Scores:
    """Read scores.json of a finished run."""
    from goodfit.tasks.segmentation.evaluation import load_scores

    return load_scores(run.scores)


def _fit(prepared: Prepared, store: PatchSource, clock: Clock, extensions: Extensions, observer: Observer) -> bool:
    """Run the training loop; give False when it was interrupted."""
    plan, split, machine = prepared.plan, prepared.split, prepared.settings.machine
    device = choose_device(machine.device)
    for line in describe_budget(plan, len(split.train)):
        observer.note(line)
    workers = default_workers(device) if machine.workers is None else machine.workers
    task = SegmentationTask(plan, store, split.train, split.validation, device, workers, extensions.recipe)
    wishes, dims = prepared.settings.prediction, plan.chosen.dims
    # Validation takes no mirrored copies and tiles half a patch apart.
    effort = (2**dims if wishes.tta else 1) * max(1.0, (0.5 / wishes.step_size) ** dims)
    return fit_task(task, prepared, clock, extensions, observer, effort=effort)


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
        workers=default_workers(device) if machine.workers is None else machine.workers,
    )
    finished = trainer.train()
    make_room_on(device)
    return finished


def default_workers(device: torch.device) -> int:
    """Loader processes: none beside a network that runs on the CPU, where they would take its cores."""
    if device.type == "cpu":
        return 0
    import os

    return max(1, min(8, (os.cpu_count() or 2) - 1))
