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
    log = MetricsLog(tmp_path / "metrics.csv", ["epoch", "loss", "dice"])
    log.add({"epoch": 1, "loss": 0.1 + 0.2, "dice": math.nan})
    log.add({"epoch": 2, "loss": 1e-17})
    rows = read_rows(tmp_path / "metrics.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[0]["loss"]) == 0.1 + 0.2
    assert rows[0]["dice"] == ""
    assert rows[1]["dice"] == ""


def test_a_resumed_run_has_neither_gap_nor_double_row(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.csv", ["epoch"])
    for epoch in (1, 2, 3):
        log.add({"epoch": epoch})
    resumed = MetricsLog(tmp_path / "metrics.csv", ["epoch"], keep_epochs=2)
    resumed.add({"epoch": 3})
    assert [row["epoch"] for row in read_rows(tmp_path / "metrics.csv")] == ["1", "2", "3"]


def test_a_new_run_does_not_keep_old_rows(tmp_path: Path) -> None:
    MetricsLog(tmp_path / "metrics.csv", ["epoch"]).add({"epoch": 9})
    MetricsLog(tmp_path / "metrics.csv", ["epoch"]).add({"epoch": 1})
    assert [row["epoch"] for row in read_rows(tmp_path / "metrics.csv")] == ["1"]


def test_an_unknown_column_is_our_own_mistake(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="other"):
        MetricsLog(tmp_path / "metrics.csv", ["epoch"]).add({"other": 1})


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="has not finished an epoch"):
        read_rows(tmp_path / "metrics.csv")
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RunError, match="no epoch number"):
        read_rows(tmp_path / "metrics.csv")
