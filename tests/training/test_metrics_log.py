"""metrics.csv."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from goodfit.errors import RunError
from goodfit.training.metrics_log import MetricsLog, read_rows

if TYPE_CHECKING:
    from pathlib import Path


def test_rows_read_back_exactly_and_nan_is_an_empty_cell(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.csv", ["epoch", "step", "loss", "dice"])
    log.add({"epoch": 1, "step": 5, "loss": 0.1 + 0.2, "dice": math.nan})
    log.add({"epoch": 2, "step": 10, "loss": 1e-17})
    rows = read_rows(tmp_path / "metrics.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[0]["loss"]) == 0.1 + 0.2
    assert rows[0]["dice"] == ""
    assert rows[1]["dice"] == ""


def test_a_resumed_run_has_neither_gap_nor_double_row(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.csv", ["epoch", "step"])
    for epoch in (1, 2, 3):
        log.add({"epoch": epoch, "step": 5 * epoch})
    resumed = MetricsLog(tmp_path / "metrics.csv", ["epoch", "step"], keep_steps=12)
    assert [row["step"] for row in resumed.rows] == ["5", "10"]
    resumed.add({"epoch": 3, "step": 15})
    assert [row["epoch"] for row in read_rows(tmp_path / "metrics.csv")] == ["1", "2", "3"]


def test_a_new_run_does_not_keep_old_rows(tmp_path: Path) -> None:
    MetricsLog(tmp_path / "metrics.csv", ["epoch", "step"]).add({"epoch": 9, "step": 9})
    MetricsLog(tmp_path / "metrics.csv", ["epoch", "step"]).add({"epoch": 1, "step": 1})
    assert [row["epoch"] for row in read_rows(tmp_path / "metrics.csv")] == ["1"]


def test_columns_of_a_later_row_are_put_behind_and_survive_a_resume(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.csv", ["epoch", "step"])
    log.add({"epoch": 1, "step": 1})
    log.add({"epoch": 2, "step": 2, "gradient": 0.5})
    MetricsLog(tmp_path / "metrics.csv", ["epoch", "step"], keep_steps=2).add({"epoch": 3, "step": 3})
    rows = read_rows(tmp_path / "metrics.csv")
    assert list(rows[0]) == ["epoch", "step", "gradient"]
    assert [row["gradient"] for row in rows] == ["", "0.5", ""]


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="has not finished an epoch"):
        read_rows(tmp_path / "metrics.csv")
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RunError, match="no epoch number"):
        read_rows(tmp_path / "metrics.csv")
    (tmp_path / "metrics.csv").write_text("epoch,step\n1,x\n")
    with pytest.raises(RunError, match="no step number"):
        read_rows(tmp_path / "metrics.csv")


def test_the_newest_row_can_be_amended(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.csv", ["epoch", "step", "val_loss"])
    log.add({"epoch": 1, "step": 1, "val_loss": 0.5})
    log.add({"epoch": 2, "step": 2})
    log.amend({"val_loss": 0.25, "more": "x"})
    rows = read_rows(tmp_path / "metrics.csv")
    assert [(row["step"], row["val_loss"], row["more"]) for row in rows] == [("1", "0.5", ""), ("2", "0.25", "x")]
