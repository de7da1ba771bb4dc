"""The training loop, to be read from top to bottom."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic

import torch

from goodfit.errors import RunError
from goodfit.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    optimizer_tensors,
    put_optimizer_tensors,
    save_checkpoint,
)
from goodfit.training.controller import (
    ControllerSettings,
    ControllerState,
    Observation,
    after_epoch,
    next_boundary,
)
from goodfit.training.ema import WeightAverage
from goodfit.training.interrupt import StopSignal, catching_signals
from goodfit.training.metrics_log import MetricsLog
from goodfit.training.optimizer import build_optimizer
from goodfit.training.schedule import poly, wsd
from goodfit.training.task import BatchT
from goodfit.training.weights import put_weights, weights_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.planning.plan import Training
    from goodfit.training.run_folder import RunFolder
    from goodfit.training.task import Task

logger = logging.getLogger(__name__)

COLUMNS = ("epoch", "step", "phase", "lr", "train_loss", "val_loss")
TIMES = ("seconds", "train_seconds", "data_seconds", "validation_seconds", "elapsed_seconds")


@dataclass
class Progress:
    """What a run knows beside weights; saved with every checkpoint.

    Attributes:
        control: the controller's state.
        loss_sum: sum of the step losses of the running epoch.
        loss_count: steps of the running epoch.
        elapsed: seconds spent in the loop, over all sittings.
        epoch_started: ``elapsed`` when the running epoch began.
        train_seconds: of the running epoch, in steps.
        data_seconds: of the running epoch, waiting for batches.
        seconds_per_step: running mean over epochs of all time (validation included) per step.
        best_metric: best value of the watched metric; its weights are in checkpoints/best.
        validation_cases: cases of each validation, fixed in the first epoch.
        seconds_per_case: time a validation case took last.
    """

    control: ControllerState = field(default_factory=ControllerState)
    loss_sum: float = 0.0
    loss_count: int = 0
    elapsed: float = 0.0
    epoch_started: float = 0.0
    train_seconds: float = 0.0
    data_seconds: float = 0.0
    seconds_per_step: float | None = None
    best_metric: float | None = None
    validation_cases: int | None = None
    seconds_per_case: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        return {**self.__dict__, "control": self.control.to_dict()}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Progress:
        """Rebuild from ``to_dict``."""
        return cls(**{**value, "control": ControllerState.from_dict(value["control"])})


@dataclass(frozen=True)
class Report:
    """What the loop tells whoever shows it: after each step, and after each epoch with its row.

    Attributes:
        progress: where the run stands.
        expected_steps: steps at which it will end, as far as is known now.
        loss: of the step, or the mean of the epoch.
        row: of metrics.csv, when an epoch is finished.
    """

    progress: Progress
    expected_steps: int
    loss: float
    row: dict[str, float | int | str] | None = None


class Trainer(Generic[BatchT]):
    """One training of one task in one run folder.

    Args:
        task: what is trained.
        training: optimiser, schedule and stopping.
        control: epochs, patience and so on, as the controller takes them.
        run: the folder that receives checkpoints, metrics.csv and events.json.
        deadline: gives the seconds left for training, asked at each epoch's end with the seconds that one whole
            case takes to predict; None without a time budget.
        on_report: called after every step and every epoch.
    """

    def __init__(
        self,
        task: Task[BatchT],
        training: Training,
        control: ControllerSettings,
        run: RunFolder,
        *,
        deadline: Callable[[float], float] | None = None,
        on_report: Callable[[Report], None] | None = None,
    ) -> None:
        self.task, self.training, self.control, self.run = task, training, control, run
        self.deadline, self.on_report = deadline, on_report or (lambda _report: None)
        self.optimizer = build_optimizer(task.network, training)
        self.average = WeightAverage(task.network, training.ema)
        self.progress = Progress()
        self.expected_steps: int | None = None

    def train(self) -> bool:
        """Train until the controller is done; give False when a signal asked to leave before.

        A run that was interrupted goes on from its last checkpoint.

        Raises:
            RunError: the loss is not finite, or the checkpoint belongs to another network.
        """
        if self.run.last.is_file():
            self._load()
        columns = (*COLUMNS, *self.task.metric_columns, *TIMES)
        log = MetricsLog(self.run.metrics, columns, keep_epochs=self.progress.control.epoch)
        with catching_signals() as stop:
            while self.progress.control.phase != "done":
                finished = self._epoch(stop)
                if not finished:
                    self._save(self.run.last)
                    logger.warning("%s received: saved step %d", stop.received, self.progress.control.step)
                    return False
                row = self._finish_epoch()
                log.add(row)
                self._save(self.run.last)
                self.on_report(self._report(float(row["train_loss"]), row))
                if stop:
                    logger.warning("%s received: saved epoch %d", stop.received, self.progress.control.epoch)
                    return False
        return True

    def _epoch(self, stop: StopSignal) -> bool:
        """Run the rest of the epoch; give False when a signal asked to leave."""
        progress, network, average = self.progress, self.task.network, self.average
        boundary = next_boundary(self.control, progress.control)
        network.train()
        clock = time.perf_counter()
        for batch in self.task.batches(progress.control.step, boundary):
            step = progress.control.step
            arrived = time.perf_counter()
            for group in self.optimizer.param_groups:
                group["lr"] = self.learning_rate(step)
            loss = self.task.loss(network, batch, step)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), self.training.gradient_clip)
            value = loss.item()
            if not math.isfinite(value):
                raise RunError(
                    f"step {step}: the loss is {value} (cases {', '.join(batch.cases)}). Lower training.learning_rate, "
                    "or look at these cases with `goodfit check`; the last good state is in checkpoints/last."
                )
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            average.update(network, step + 1)
            progress.control = replace(progress.control, step=step + 1)
            progress.loss_sum += value
            progress.loss_count += 1
            now = time.perf_counter()
            progress.data_seconds += arrived - clock
            progress.train_seconds += now - clock
            progress.elapsed += now - clock
            clock = now
            self.on_report(self._report(value))
            if stop and progress.control.step < boundary:
                return False
        return True

    def _finish_epoch(self) -> dict[str, float | int | str]:
        """Validate, ask the controller, keep the best; give the row for metrics.csv."""
        progress = self.progress
        started = time.perf_counter()
        phase = progress.control.phase
        progress.control = replace(progress.control, epoch=progress.control.epoch + 1)
        val_loss, metrics = self._validate()
        validation_seconds = time.perf_counter() - started
        progress.elapsed += validation_seconds
        row: dict[str, float | int | str] = {
            "epoch": progress.control.epoch,
            "step": progress.control.step,
            "phase": phase,
            "lr": self.learning_rate(progress.control.step - 1),
            "train_loss": progress.loss_sum / progress.loss_count,
            "val_loss": val_loss,
            **metrics,
            "seconds": progress.elapsed - progress.epoch_started,
            "train_seconds": progress.train_seconds,
            "data_seconds": progress.data_seconds,
            "validation_seconds": validation_seconds,
            "elapsed_seconds": progress.elapsed,
        }
        self._keep_best(row)
        self._ask_controller(row)
        progress.epoch_started = progress.elapsed
        progress.loss_sum, progress.loss_count = 0.0, 0
        progress.train_seconds, progress.data_seconds = 0.0, 0.0
        return row

    def _validate(self) -> tuple[float, dict[str, float]]:
        """Validation loss and whole-case metrics of the averaged weights."""
        progress, task = self.progress, self.task
        with self.average.in_place_of(task.network) as network, torch.inference_mode():
            network.eval()
            started = time.perf_counter()
            val_loss = task.validation_loss(network)
            spent = time.perf_counter() - started
            if progress.validation_cases is None:
                progress.validation_cases = self._affordable_cases(spent)
            result = task.validate(network, progress.validation_cases)
            progress.seconds_per_case = result.seconds / max(1, result.cases)
        return val_loss, dict(result.metrics)

    def _affordable_cases(self, loss_seconds: float) -> int:
        """Number of whole cases whose prediction keeps validation within its share of the training time."""
        task, progress = self.task, self.progress
        task.validate(task.network, 1)  # the first case also pays for warming up
        one = task.validate(task.network, 1).seconds
        full_epoch = progress.train_seconds / max(1, progress.loss_count) * self.control.steps_per_epoch
        allowed = self.training.validation_share * full_epoch - loss_seconds
        cases = min(task.validation_cases, max(1, math.floor(allowed / max(one, 1e-6))))
        if cases < task.validation_cases:
            logger.warning(
                "validation uses a fixed subset of %d of %d cases: all of them would take more than %.0f %% of the "
                "training time",
                cases,
                task.validation_cases,
                100 * self.training.validation_share,
            )
        return cases

    def _keep_best(self, row: dict[str, float | int | str]) -> None:
        value = float(row[self.control.monitor])
        best = self.progress.best_metric
        better = best is None or (value >= best if self.control.larger_is_better else value <= best)
        if math.isnan(value):
            if best is None and not self.run.best.is_file():
                logger.warning(
                    "%s is not defined yet; checkpoints/best holds these weights until it is", self.control.monitor
                )
            elif best is not None:
                return
        elif not better:
            return
        else:
            self.progress.best_metric = value
        state = {"epoch": row["epoch"], "step": row["step"], self.control.monitor: value}
        save_checkpoint(self.run.best, Checkpoint({"network": self.average.weights}, state))

    def _ask_controller(self, row: dict[str, float | int | str]) -> None:
        progress = self.progress
        steps = progress.loss_count
        per_step = float(row["seconds"]) / max(1, steps)
        if progress.seconds_per_step is None or progress.control.epoch <= 2:
            progress.seconds_per_step = per_step  # the first epochs also warm up and choose the validation cases
        else:
            progress.seconds_per_step += 0.3 * (per_step - progress.seconds_per_step)
        left = None if self.deadline is None else self.deadline(progress.seconds_per_case)
        if left is not None:
            self.expected_steps = progress.control.step + math.floor(max(0.0, left) / progress.seconds_per_step)
        seen = Observation(float(row[self.control.monitor]), left, progress.seconds_per_step)
        decided, events = after_epoch(self.control, progress.control, seen)
        if decided.phase == "cooldown" and progress.control.phase != "cooldown":
            self._save(self.run.stable)  # the state before the cooldown, so that the run can be extended
        progress.control = decided
        for event in events:
            logger.info("%s", event.reason)
            self.run.add_event(event)

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step under the plan's schedule and what the controller has decided so far."""
        training, control = self.training, self.progress.control
        if training.schedule == "poly":
            return poly(step, peak=training.learning_rate, total_steps=self.control.total_steps)
        return wsd(
            step,
            peak=training.learning_rate,
            warmup_steps=self.control.warmup_steps,
            cooldown=control.cooldown,
            shape=training.cooldown_shape,
        )

    def _report(self, loss: float, row: dict[str, float | int | str] | None = None) -> Report:
        control = self.progress.control
        end = self.control.total_steps
        if control.cooldown is not None:
            end = control.cooldown.end
        elif self.expected_steps is not None:
            end = min(end, self.expected_steps)
        return Report(self.progress, end, loss, row)

    def _save(self, path: Path) -> None:
        groups = {
            "network": weights_of(self.task.network),
            "average": self.average.weights,
            "optimizer": optimizer_tensors(self.optimizer),
        }
        save_checkpoint(path, Checkpoint(groups, self.progress.to_dict()))

    def _load(self) -> None:
        checkpoint = load_checkpoint(self.run.last, next(self.task.network.parameters()).device)
        put_weights(self.task.network, checkpoint.groups["network"], str(self.run.last))
        put_optimizer_tensors(self.optimizer, checkpoint.groups.get("optimizer", {}))
        for name, tensor in checkpoint.groups["average"].items():
            self.average.weights[name].copy_(tensor)
        self.progress = Progress.from_dict(dict(checkpoint.state))
        self.run.drop_events_after(self.progress.control.step)
        logger.info("going on from step %d", self.progress.control.step)
