"""What the user sees while a command works: stages, bars with the time left, sentences, epochs."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table

from goodfit.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from goodfit.training.progress import Report

console = Console(highlight=False)
error_console = Console(stderr=True, highlight=False)


def show_error(message: str) -> None:
    """Print an error in red, on standard error, without markup or wrapping surprises."""
    error_console.print("error:", style="bold red", end=" ")
    error_console.print(message, markup=False, soft_wrap=True)


def show_logs(verbose: bool) -> None:
    """Send the library's log records to the terminal: warnings, and everything when verbose."""
    handler = RichHandler(console=console, show_path=False, show_time=False, markup=False)
    logger = logging.getLogger("goodfit")
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)


LONGEST_NAME = 32
"""Characters of the first column that are never broken."""


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; numbers are right-aligned, long texts wrap, names in the first column do not."""
    table = Table(title=escape(title), title_justify="left", title_style="bold")
    for index, name in enumerate(columns):
        numeric = bool(rows) and all(
            row[index].replace(".", "", 1).lstrip("-").isdigit() or not row[index] for row in rows
        )
        whole = index == 0 and max((len(row[0]) for row in rows), default=0) <= LONGEST_NAME
        table.add_column(name, justify="right" if numeric else "left", overflow="fold", no_wrap=whole)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)


SUMMARIES = {"val_dice": "Dice", "val_ap": "AP"}
"""Columns that sum a validation up, with what they are called."""


WIDE = 120
"""Characters of a line from which on there is room for long bars."""


class Screen(Observer):
    """Shows progress on the terminal; use as a context."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=30 if console.width >= WIDE else 10),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            TextColumn("left"),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[extra]}", table_column=Column()),
            console=console,
        )
        self._stage: TaskID | None = None
        self._verdict: object = "too early"

    def __enter__(self) -> Screen:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def stage(self, name: str) -> None:
        """Begin a bar without a total yet; the bar of the stage before stands still, and takes no more room than others."""
        if self._stage is not None:
            self._bars.update(self._stage, extra="")
            self._bars.stop_task(self._stage)
        self._stage = self._bars.add_task(name, total=None, extra="")

    def advance(self, done: int, total: int) -> None:
        """Move the bar."""
        if self._stage is not None:
            self._bars.update(self._stage, completed=done, total=total)

    def note(self, text: str) -> None:
        """Print a sentence above the bars."""
        console.print(text, markup=False)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table above the bars."""
        show_table(title, columns, rows)

    def trained(self, report: Report) -> None:
        """Move the training bar; print a line per epoch."""
        control = report.progress.control
        if self._stage is not None:
            self._bars.update(
                self._stage,
                completed=control.step,
                total=max(report.expected_steps, control.step),
                extra=f"epoch {control.epoch + 1} {control.phase} loss {report.loss:.3f}",
            )
        if report.row is None:
            return
        row = report.row
        summary = next((name for name in SUMMARIES if name in row), None)
        parts = []
        if summary is not None:
            parts.append(f"{SUMMARIES[summary]} {row[summary]:.4f}")
            classes = [
                f"{name.removeprefix(summary + '_')} {value:.3f}"
                for name, value in row.items()
                if name.startswith(f"{summary}_") and isinstance(value, float) and math.isfinite(value)
            ]
            parts += [f"({', '.join(classes)})"] if 1 < len(classes) <= 6 else []
        said = row.get("verdict") or self._verdict
        parts += [f"[{said}]"] if said != self._verdict else []
        self._verdict = said
        validated = f"validation {row['val_loss']:>7.4f}  " if "val_loss" in row else ""
        console.print(
            f"epoch {row['epoch']:>4}  step {row['step']:>6}  {row['phase']:<8}  loss {row['train_loss']:>7.4f}  "
            f"{validated}{'  '.join(parts)}  {row['seconds']:.0f} s",
            markup=False,
            soft_wrap=True,
        )
