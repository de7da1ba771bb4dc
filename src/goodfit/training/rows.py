"""A row of metrics.csv: what the steps and the validation since the row before have shown."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from goodfit.training.fit.verdict import Curves, judge, short
from goodfit.training.task import TOTAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.training.controller import ControllerSettings, ControllerState
    from goodfit.training.metrics_log import Cell
    from goodfit.training.progress import Progress

BEGINNING = ("epoch", "step", "phase", "lr", "train_loss")
MACHINE = (
    "cpu_percent",
    "memory_bytes",
    "gpu_percent",
    "gpu_memory_bytes",
    "gpu_memory_peak_bytes",
    "data_wait_share",
    "samples_per_second",
)
TIMES = ("seconds", "train_seconds", "data_seconds", "validation_seconds", "elapsed_seconds")

OWN = (*BEGINNING, "verdict", *MACHINE, *TIMES)
"""Columns that hooks leave alone."""


def columns_of(metrics: Sequence[str], loss_parts: Sequence[str]) -> list[str]:
    """Give the columns of metrics.csv in their order; hooks add theirs behind."""
    return [
        *BEGINNING,
        *(f"train_loss_{part}" for part in loss_parts),
        "train_eval_loss",
        "val_loss",
        *(f"val_loss_{part}" for part in loss_parts),
        *metrics,
        "verdict",
        *MACHINE,
        *TIMES,
    ]


def training_losses(progress: Progress) -> dict[str, float]:
    """Give the mean losses of the steps since the row before, by column."""
    count = max(1, progress.loss_count)
    mean = {name: value / count for name, value in progress.loss_sums.items()}
    parts = {f"train_loss_{name}": value for name, value in mean.items() if name != TOTAL}
    return {"train_loss": mean.get(TOTAL, math.nan), **parts}


def make_row(
    progress: Progress,
    settings: ControllerSettings,
    *,
    phase: str,
    rate: float,
    validated: Mapping[str, float],
    validation_seconds: float,
    machine: Mapping[str, float],
    recorded: Mapping[str, Cell],
) -> dict[str, Cell]:
    """Put a row together.

    Args:
        progress: holds the sums since the row before.
        settings: for the length of an epoch.
        phase: of the steps in the row.
        rate: learning rate of the last step.
        validated: columns of the validation at this step; empty when there was none.
        validation_seconds: time it took.
        machine: what the monitor saw.
        recorded: columns of hooks.
    """
    step = progress.control.step
    seconds = progress.train_seconds
    return {
        "epoch": math.ceil(step / settings.steps_per_epoch),
        "step": step,
        "phase": phase,
        "lr": rate,
        **training_losses(progress),
        **validated,
        **machine,
        **recorded,
        "data_wait_share": progress.data_seconds / seconds if seconds else math.nan,
        "samples_per_second": progress.samples / seconds if seconds else math.nan,
        "seconds": progress.elapsed - progress.row_started,
        "train_seconds": seconds,
        "data_seconds": progress.data_seconds,
        "validation_seconds": validation_seconds,
        "elapsed_seconds": progress.elapsed,
    }


def live_verdict(rows: Sequence[Mapping[str, Cell]], settings: ControllerSettings, state: ControllerState) -> str:
    """Judge the curves so far; give the word for the column."""
    curves = Curves.from_rows(rows, settings.monitor, settings.larger_is_better)
    return short(judge(curves, state.phase == "done", state.stopped_by))
