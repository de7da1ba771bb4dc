"""What a run knows beside its weights, and what it tells whoever watches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from goodfit.training.controller import ControllerState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goodfit.training.metrics_log import Cell


@dataclass
class Progress:
    """Saved with every checkpoint.

    Attributes:
        control: the controller's state.
        loss_sums: sums over the steps since the last row: of the loss ("total") and of its parts.
        loss_count: number of those steps.
        samples: samples of those steps.
        elapsed: seconds spent in the loop, over all sittings.
        row_started: ``elapsed`` at the last row.
        row_step: step of the newest row; later ones are of steps that a resumed run makes anew.
        events: number of transitions in events.json, likewise.
        train_seconds: in steps, since the last row.
        data_seconds: waiting for batches, since the last row.
        seconds_per_step: running mean over epochs of all time (validation included) per step.
        timed_epochs: number of epochs in that mean.
        epoch_started: ``elapsed`` at the end of the last epoch.
        validated_step: step of the newest validation.
        metric_step: step of the newest one that measured the metric.
        validations: number of validations.
        validation_cases: whole cases in the metric, fixed in the first validation that predicts any.
        metric_every: validations from one measurement of the metric to the next, likewise.
        seconds_per_case: time a validation case took last.
        best_metric: best value of the watched metric; its weights are in checkpoints/best.
        rate_factor: what the learning rate is multiplied by, below 1 after a loss that was not finite.
        recoveries: how often a loss was not finite.
        parts: how many micro-batches a batch is cut into, above 1 after the memory was too small.
        warmup_steps: of the schedule, fixed when the run begins: a later change of the budget must not move it.
        recorded: columns that hooks have recorded for the next row.
        validation_wanted: whether a hook has asked for a validation.
        stop_reason: why a hook has asked for the end, until it is obeyed.
    """

    control: ControllerState = field(default_factory=ControllerState)
    loss_sums: dict[str, float] = field(default_factory=dict)
    loss_count: int = 0
    samples: int = 0
    elapsed: float = 0.0
    row_started: float = 0.0
    row_step: int = 0
    events: int = 0
    train_seconds: float = 0.0
    data_seconds: float = 0.0
    seconds_per_step: float | None = None
    timed_epochs: int = 0
    epoch_started: float = 0.0
    validated_step: int = 0
    metric_step: int = 0
    validations: int = 0
    validation_cases: int | None = None
    metric_every: int = 1
    seconds_per_case: float = 0.0
    best_metric: float | None = None
    rate_factor: float = 1.0
    recoveries: int = 0
    parts: int = 1
    warmup_steps: int | None = None
    recorded: dict[str, Cell] = field(default_factory=dict)
    validation_wanted: bool = False
    stop_reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        return {**self.__dict__, "control": self.control.to_dict()}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Progress:
        """Rebuild from ``to_dict``."""
        return cls(**{**value, "control": ControllerState.from_dict(value["control"])})

    def add_step(self, losses: Mapping[str, float], samples: int) -> None:
        """Count a step and its losses."""
        for name, value in losses.items():
            self.loss_sums[name] = self.loss_sums.get(name, 0.0) + value
        self.loss_count += 1
        self.samples += samples

    def end_epoch(self, steps: int, *, others_follow: bool = False) -> float:
        """Take the epoch's time into the running mean of the time per step, which is given back.

        Args:
            steps: of the epoch.
            others_follow: the steps after it are of another size, so that this mean says nothing of them.
        """
        per_step, self.epoch_started = (self.elapsed - self.epoch_started) / steps, self.elapsed
        self.timed_epochs += 1
        if self.seconds_per_step is None or self.timed_epochs <= 2:
            self.seconds_per_step = per_step  # the first epochs also warm up and choose the validation cases
        else:
            self.seconds_per_step += 0.3 * (per_step - self.seconds_per_step)
        if others_follow:
            self.timed_epochs = 0
        return self.seconds_per_step

    def begin_row(self) -> None:
        """Forget what the row that has just been written counted."""
        self.loss_sums, self.loss_count, self.samples, self.recorded = {}, 0, 0, {}
        self.train_seconds, self.data_seconds = 0.0, 0.0
        self.row_started, self.row_step = self.elapsed, self.control.step


@dataclass(frozen=True)
class Report:
    """What the loop tells whoever shows it: after each step, and with each row of metrics.csv.

    Attributes:
        progress: where the run stands.
        expected_steps: steps at which it will end, as far as is known now.
        loss: of the step, or the mean of the row.
        row: of metrics.csv, when there is a new one.
    """

    progress: Progress
    expected_steps: int
    loss: float
    row: Mapping[str, Cell] | None = None
