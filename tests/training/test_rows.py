"""Rows of metrics.csv."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from goodfit.training.controller import ControllerSettings, ControllerState
from goodfit.training.progress import Progress
from goodfit.training.rows import BEGINNING, MACHINE, TIMES, columns_of, live_verdict, make_row, training_losses
from goodfit.training.task import TOTAL
from goodfit.training.watching.monitor import MACHINE_COLUMNS

SETTINGS = ControllerSettings(
    epochs=10,
    steps_per_epoch=50,
    warmup_steps=0,
    cooldown=0.2,
    patience=None,
    min_delta=0.001,
    monitor="val_dice",
    larger_is_better=True,
)
LAP = dict.fromkeys(MACHINE_COLUMNS, 1.5)


def progress() -> Progress:
    return Progress(
        ControllerState(step=120, epoch=2),
        loss_sums={TOTAL: 30.0, "box": 10.0},
        loss_count=20,
        samples=40,
        elapsed=100.0,
        row_started=88.0,
        train_seconds=8.0,
        data_seconds=2.0,
    )


def row(of: Progress, **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "phase": "stable",
        "rate": 0.25,
        "validated": {"val_loss": 0.7, "val_dice": 0.8},
        "validation_seconds": 3.0,
        "machine": LAP,
        "recorded": {"mine": 4},
    }
    return make_row(of, SETTINGS, **{**arguments, **changes})


def test_the_columns_are_in_the_documented_order() -> None:
    columns = columns_of(("val_ap", "val_ap_clip"), ("box", "mask"))
    assert columns == [
        *("epoch", "step", "phase", "lr", "train_loss", "train_loss_box", "train_loss_mask", "train_eval_loss"),
        *("val_loss", "val_loss_box", "val_loss_mask", "val_ap", "val_ap_clip", "verdict"),
        *("cpu_percent", "memory_bytes", "gpu_percent", "gpu_memory_bytes", "gpu_memory_peak_bytes"),
        *("data_wait_share", "samples_per_second"),
        *("seconds", "train_seconds", "data_seconds", "validation_seconds", "elapsed_seconds"),
    ]
    assert set(MACHINE_COLUMNS) < set(MACHINE)
    assert columns[: len(BEGINNING)] == list(BEGINNING)
    assert columns[-len(TIMES) :] == list(TIMES)


def test_a_row_says_what_has_happened_since_the_row_before() -> None:
    assert row(progress()) == {
        "epoch": 3,
        "step": 120,
        "phase": "stable",
        "lr": 0.25,
        "train_loss": 1.5,
        "train_loss_box": 0.5,
        "val_loss": 0.7,
        "val_dice": 0.8,
        **LAP,
        "mine": 4,
        "data_wait_share": 0.25,
        "samples_per_second": 5.0,
        "seconds": 12.0,
        "train_seconds": 8.0,
        "data_seconds": 2.0,
        "validation_seconds": 3.0,
        "elapsed_seconds": 100.0,
    }


def test_losses_of_the_training_are_means_of_the_steps_so_far() -> None:
    assert training_losses(progress()) == {"train_loss": 1.5, "train_loss_box": 0.5}


@pytest.mark.parametrize(("step", "epoch"), [(1, 1), (50, 1), (51, 2), (100, 2), (500, 10)])
def test_a_row_in_the_middle_of_an_epoch_belongs_to_it(step: int, epoch: int) -> None:
    assert row(replace(progress(), control=ControllerState(step=step)))["epoch"] == epoch


def test_a_row_without_steps_has_no_numbers_of_them() -> None:
    empty = row(Progress(ControllerState(step=50)))
    assert all(math.isnan(empty[name]) for name in ("train_loss", "data_wait_share", "samples_per_second"))


def test_all_columns_of_a_row_but_those_of_hooks_are_announced() -> None:
    columns = columns_of(("val_dice",), ("box",))
    assert set(row(progress())) - set(columns) == {"mine"}


def curve(values: list[float]) -> list[dict[str, Any]]:
    return [
        {
            "epoch": n,
            "step": 50 * n,
            "phase": "stable",
            "train_eval_loss": 1 / n,
            "val_loss": 1 - value,
            "val_dice": value,
        }
        for n, value in enumerate(values, start=1)
    ]


def test_the_live_verdict_is_that_of_the_curves_so_far() -> None:
    state = ControllerState(phase="stable")
    assert live_verdict(curve([0.1, 0.2, 0.3]), SETTINGS, state) == "too early"
    rising = curve([0.1 + 0.03 * n for n in range(20)])
    assert live_verdict(rising, SETTINGS, state) == "still improving"
    flat = curve([0.1, 0.3, 0.5, 0.7, 0.8, *[0.85, 0.8501] * 15])
    for one in flat[8:]:
        one["train_eval_loss"] = 0.125
    assert live_verdict(flat, SETTINGS, state) == "good fit"


def test_the_verdict_reads_text_cells_as_it_reads_numbers() -> None:
    rising = curve([0.1 + 0.03 * n for n in range(20)])
    cells = [{name: str(value) for name, value in one.items()} for one in rising[:-1]]
    assert live_verdict([*cells, rising[-1]], SETTINGS, ControllerState()) == "still improving"
