"""The training loop, to be read from top to bottom."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Generic

import torch

from goodfit.errors import RunError
from goodfit.training.checkpoint_writer import CheckpointWriter
from goodfit.training.controller import (
    Clock,
    ControllerSettings,
    ControllerState,
    Event,
    begin_cooldown,
    decide,
    end_of,
    end_of_epoch,
    is_over,
    observe,
    validation_due,
)
from goodfit.training.ema import WeightAverage
from goodfit.training.finite import NotFiniteError, require_finite
from goodfit.training.hooks import Context, Hooks
from goodfit.training.metrics_log import MetricsLog
from goodfit.training.micro_batches import gradients_within_memory
from goodfit.training.optimizer import build_optimizer
from goodfit.training.progress import Progress, Report
from goodfit.training.requests import LeaveError, StopRequests
from goodfit.training.rows import columns_of, live_verdict, make_row, training_losses
from goodfit.training.saving import Keeper
from goodfit.training.schedule import scheduled_rate
from goodfit.training.task import TOTAL, BatchT
from goodfit.training.validation import Effort, Validation
from goodfit.training.watching.monitor import Adviser, MachineMonitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from goodfit.planning.plan import Training
    from goodfit.training.hooks import Hook, Moment
    from goodfit.training.run_folder import RunFolder
    from goodfit.training.task import Task
    from goodfit.training.validation import Validated

logger = logging.getLogger(__name__)

SEEDS_APART = 1_000_003
MOST_RECOVERIES = 3
RATE_AFTER_RECOVERY = 0.5


class Trainer(Generic[BatchT]):
    """One training of one task in one run folder.

    Args:
        task: what is trained.
        training: optimiser, schedule and stopping.
        control: epochs, patience and so on, as the controller takes them.
        run: the folder that receives checkpoints, metrics.csv and events.json.
        deadline: gives the seconds left for training, asked at each epoch's end with the seconds that one whole
            case takes to predict; None without a time budget.
        on_report: called after every step and every row of metrics.csv.
        hooks: the user's own code.
        grace: seconds between SIGTERM and the kill that a scheduler sends after it; None: SIGTERM begins the
            cooldown.
        optimizer: in place of the one that ``training`` names.
        identity: digest of what is trained; a checkpoint of another identity is refused.
        workers: loader processes, for advice.
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
        hooks: Sequence[Hook] = (),
        grace: float | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        identity: str = "",
        workers: int = 0,
    ) -> None:
        self.task, self.training, self.control, self.run = task, training, control, run
        self.deadline, self.on_report = deadline, on_report or (lambda _report: None)
        self.optimizer = optimizer or build_optimizer(task.network, training)
        self.average = WeightAverage(task.network, training.ema)
        self.validation = Validation(task, self.average, training.validation_share)
        self.hooks = Hooks(hooks)
        self.context = Context(task.network, self.optimizer, run, control.total_steps)
        self.requests = StopRequests(run.stop, grace)
        device = next(task.network.parameters()).device
        self.monitor, self.adviser = MachineMonitor(device), Adviser(workers, device.type)
        self.writer = CheckpointWriter()
        self.keeper = Keeper(run, task.network, self.average, self.optimizer, self.hooks, identity, self.writer)
        self.progress = Progress()
        self.expected_steps: int | None = None
        self._log = MetricsLog(run.metrics, columns_of(task.metric_columns, task.loss_parts))
        self._batches: Iterator[BatchT] | None = None
        self._saved_at = 0.0

    def train(self) -> bool:
        """Train until the controller is done; give False when the user asked to leave before.

        A run that was interrupted goes on from its last checkpoint.

        Raises:
            RunError: the loss was not finite too often, or the checkpoint belongs to another training.
            ResourceError: disk or memory do not suffice.
            HookError: a hook raised.
        """
        with self.writer, self.requests, self.monitor:
            self._begin()
            self._call("before_train")
            try:
                while not is_over(self.control, self.progress.control):
                    try:
                        self._epoch()
                    except NotFiniteError as error:
                        self._recover(str(error))
                self._validate_end()
            except LeaveError:
                self._save()
                logger.warning("%s: saved step %d", self.requests.reason, self.progress.control.step)
            finally:
                self._close_batches()
                self.task.close()
            self._call("after_train")
        control = self.progress.control
        return control.phase == "done" and self.progress.metric_step == control.step

    def _epoch(self) -> None:
        """Run what is left of an epoch, with the validations in it."""
        while self.progress.control.step < self._end_of_epoch() or self._validation_is_due():
            if not self._validation_is_due():
                self._step()
            if self._validation_is_due():
                validated = self._validate()
                if self.progress.control.step < self._end_of_epoch():
                    self._write_row(validated)
                else:
                    return self._end_epoch(validated)
            self._obey_wishes()
        return self._end_epoch(None)

    def _step(self) -> None:
        """One optimizer update."""
        progress, network, step = self.progress, self.task.network, self.progress.control.step
        started = time.perf_counter()
        batch = self._next_batch()
        arrived = time.perf_counter()
        network.train()
        # A network with dropout, or a task that draws samples, does the same when the step is done anew.
        torch.manual_seed((self.training.seed * SEEDS_APART + step) % 2**63)
        rate = self.learning_rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.context.lr, self.context.cases = rate, batch.cases
        self._call("before_step")
        losses, progress.parts = gradients_within_memory(self.task, self.optimizer, batch, step, progress.parts)
        self._call("after_backward")
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), self.training.gradient_clip).item()
        require_finite(step, losses[TOTAL], norm, batch.cases)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(network, step + 1)
        progress.control = replace(progress.control, step=step + 1)
        progress.add_step(losses, len(batch))
        self.context.loss = losses[TOTAL]
        self._call("after_step")
        spent = time.perf_counter() - started
        progress.data_seconds += arrived - started
        progress.train_seconds += spent
        progress.elapsed += spent
        self.on_report(Report(progress, self._expected_end(), losses[TOTAL]))
        if progress.elapsed - self._saved_at > self.training.checkpoint_seconds:
            self._save()

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step under the plan's schedule and what has been decided so far."""
        peak = self.training.learning_rate * self.progress.rate_factor
        control, cooldown = self.control, self.progress.control.cooldown
        return scheduled_rate(step, peak, self.training, control.total_steps, control.warmup_steps, cooldown)

    def _validate(self) -> Validated:
        """Measure the averaged weights, keep the best, tell the controller."""
        progress = self.progress
        per_step = progress.train_seconds / max(1, progress.loss_count)
        cases = progress.validation_cases
        ends = self._ends()
        validated = self.validation.measure(
            None if cases is None else Effort(cases, progress.metric_every),
            per_step * self.control.validation_period,
            self.requests.leave_if_asked,
            metric=ends or (self._is_whole() and progress.validations % progress.metric_every == 0),
        )
        progress.validations += 1
        if validated.effort is not None:
            progress.validation_cases, progress.metric_every = validated.effort.cases, validated.effort.every
        if validated.seconds_per_case is not None:
            progress.seconds_per_case, progress.metric_step = validated.seconds_per_case, progress.control.step
        progress.validated_step = progress.control.step
        progress.elapsed += validated.seconds
        progress.validation_wanted = False
        self.context.row = {**training_losses(progress), **validated.columns}
        self._call("after_validation")
        metric = float({**validated.columns, **progress.recorded}.get(self.control.monitor, math.nan))
        self.keeper.keep_best(self.control, progress, metric, final=ends)
        progress.control = observe(self.control, progress.control, metric)
        return validated

    def _validate_end(self) -> None:
        """Validate the last step of a run that ended without a cooldown where no whole case had its turn."""
        if self.progress.metric_step < self.progress.control.step:
            validated = self._validate()
            if self.progress.row_step < self.progress.control.step:
                self._write_row(validated)
            else:
                self._log.amend(validated.columns)
            self._save()

    def _end_epoch(self, validated: Validated | None) -> None:
        """Count the epoch, ask the controller, save."""
        phase = self.progress.control.phase
        self.progress.control = replace(self.progress.control, epoch=self.progress.control.epoch + 1)
        self._close_batches()
        decided, events = decide(self.control, self.progress.control, self._clock())
        if self.progress.row_step < self.progress.control.step:
            self._write_row(validated, phase, decided)
        self._call("after_epoch")  # before any state is saved: a run that goes on from there does not call it again
        self._enter(decided, events)
        self._save()
        self._obey_wishes()

    def _write_row(
        self, validated: Validated | None, phase: str | None = None, decided: ControllerState | None = None
    ) -> None:
        """Add to metrics.csv what was seen since the row before."""
        progress, machine = self.progress, self.monitor.lap()
        row = make_row(
            progress,
            self.control,
            phase=phase or progress.control.phase,
            rate=self.learning_rate(progress.control.step - 1),
            validated={} if validated is None else validated.columns,
            validation_seconds=0.0 if validated is None else validated.seconds,
            machine=machine,
            recorded=progress.recorded,
        )
        if validated is not None:
            row["verdict"] = live_verdict([*self._log.rows, row], self.control, decided or progress.control)
        self._log.add(row)
        self.context.row = row
        loss = progress.loss_sums.get(TOTAL, math.nan) / max(1, progress.loss_count)
        self.adviser.look(machine, float(row["data_wait_share"]), self.monitor.memory_limit)
        progress.begin_row()
        self.on_report(Report(progress, self._expected_end(), loss, row))

    def _enter(self, decided: ControllerState, events: Sequence[Event]) -> None:
        """Take over what the controller decided; before a cooldown, keep the state from which to go on later."""
        before = self.progress.control.phase
        if decided.phase in ("cooldown", "done") and before not in ("cooldown", "done"):
            self.keeper.save_stable(self.progress)
        self.progress.control = decided
        for event in events:
            logger.info("%s", event.reason)
            self._note(event)

    def _note(self, event: Event) -> None:
        self.run.add_event(event)
        self.progress.events += 1

    def _obey_wishes(self) -> None:
        """Begin the cooldown, or leave, where the user or a hook asks for it.

        Raises:
            LeaveError: the run has to be saved and left.
        """
        self.requests.leave_if_asked()
        if self.progress.stop_reason is not None:
            reason, self.progress.stop_reason = f"a hook asked to stop ({self.progress.stop_reason})", None
        elif self.requests.wish == "cooldown":
            reason = self.requests.reason
        else:
            return
        decided, events = begin_cooldown(self.control, self.progress.control, reason)
        if events:
            self._enter(decided, events)
            self._close_batches()  # the epoch may end sooner now
            self._save()

    def _clock(self) -> Clock | None:
        """Measure the time per step of the epoch, and ask how much is left."""
        progress = self.progress
        steps = progress.control.step % self.control.steps_per_epoch or self.control.steps_per_epoch
        larger_follow = self.task.step_size(progress.control.step) != self.task.step_size(progress.control.step - 1)
        per_step = progress.end_epoch(steps, others_follow=larger_follow)
        if self.deadline is None:
            return None
        left = self.deadline(progress.seconds_per_case)
        self.expected_steps = progress.control.step + math.floor(max(0.0, left) / per_step)
        return Clock(left, per_step) if self._is_whole() or left <= 0 else None

    def _begin(self) -> None:
        """Go on from the last checkpoint, or save the beginning."""
        restored = self.keeper.load()
        if restored is not None:
            self.progress = restored
            logger.info("going on from step %d", restored.control.step)
        if self.progress.warmup_steps is None:
            self.progress.warmup_steps = self.control.warmup_steps
        self.control = replace(self.control, warmup_steps=self.progress.warmup_steps)
        columns = columns_of(self.task.metric_columns, self.task.loss_parts)
        self._log = MetricsLog(self.run.metrics, columns, self.progress.row_step)
        self.run.keep_events(self.progress.events)
        self._saved_at = self.progress.elapsed
        if restored is None:
            self._save()

    def _recover(self, what: str) -> None:
        """Go back to the last good state with a lower learning rate.

        Raises:
            RunError: that has been tried often enough.
        """
        self._close_batches()
        self.optimizer.zero_grad(set_to_none=True)
        recoveries, elapsed = self.progress.recoveries + 1, self.progress.elapsed
        if recoveries > MOST_RECOVERIES:
            raise RunError(
                f"{what}, and so it was {MOST_RECOVERIES} times before, each time with half the learning rate. The last good "
                "state is in checkpoints/last. Look at these cases with `goodfit check`, or lower training.learning_rate."
            )
        restored = self.keeper.load()
        assert restored is not None, "the beginning of a run is saved"
        self.progress = restored
        restored.recoveries, restored.rate_factor = recoveries, RATE_AFTER_RECOVERY**recoveries
        restored.elapsed, control = elapsed, restored.control
        self._log.drop_after(restored.row_step)
        self.run.keep_events(restored.events)
        said = f"{what}: back to step {control.step}, learning rate halved ({recoveries} of {MOST_RECOVERIES} times)"
        logger.warning("%s", said)
        self._note(Event(control.epoch, control.step, control.phase, said))
        self._save()
        self.writer.wait()

    def _save(self) -> None:
        self.keeper.save(self.progress)
        self._saved_at = self.progress.elapsed

    def _call(self, moment: Moment) -> None:
        progress, context, control = self.progress, self.context, self.progress.control
        context.step, context.epoch, context.phase = control.step, control.epoch, control.phase
        context.recorded, context.stop_reason = progress.recorded, progress.stop_reason
        context.validation_wanted = progress.validation_wanted
        self.hooks.call(moment, context)
        progress.validation_wanted, progress.stop_reason = context.validation_wanted, context.stop_reason

    def _next_batch(self) -> BatchT:
        if self._batches is None:
            self._batches = self.task.batches(self.progress.control.step, self._end_of_epoch())
        return next(self._batches)

    def _close_batches(self) -> None:
        """Let go of the batches under way, and of the processes that make them."""
        batches, self._batches = self._batches, None
        if isinstance(batches, Generator):
            batches.close()

    def _validation_is_due(self) -> bool:
        control, wanted = self.progress.control, self.progress.validation_wanted
        if self.progress.validated_step == control.step:
            return False
        return wanted or (validation_due(self.control, control) and (self._is_whole() or self._ends()))

    def _is_whole(self) -> bool:
        """Whether the newest step was as large as steps get."""
        return self.task.step_size(self.progress.control.step - 1) >= 1

    def _ends(self) -> bool:
        return self.progress.control.step == end_of(self.control, self.progress.control)

    def _end_of_epoch(self) -> int:
        return end_of_epoch(self.control, self.progress.control)

    def _expected_end(self) -> int:
        end = end_of(self.control, self.progress.control)
        if self.progress.control.cooldown is None and self.expected_steps is not None:
            end = min(end, self.expected_steps)
        return end
