"""metrics.csv: a row per epoch or validation, rewritten as a whole so that it never ends in half a row."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING

from goodfit.errors import RunError
from goodfit.files import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Cell = float | int | str


def format_cell(value: Cell) -> str:
    """Write floats so that they read back exactly the same; a missing value (NaN) is an empty cell."""
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    return str(value)


class MetricsLog:
    """The rows of metrics.csv.

    Args:
        path: the file; read when it exists.
        columns: order of the columns; others that a row brings are put behind them.
        keep_steps: rows of later steps are dropped, since a resumed run makes them anew.
    """

    def __init__(self, path: Path, columns: Sequence[str], keep_steps: int = 0) -> None:
        self._path = path
        self._columns = list(columns)
        self._rows: list[dict[str, str]] = read_rows(path) if keep_steps > 0 and path.is_file() else []
        for row in self._rows:
            self._columns += [name for name in row if name not in self._columns]
        self.drop_after(keep_steps)

    @property
    def rows(self) -> Sequence[Mapping[str, str]]:
        """All rows as text cells."""
        return self._rows

    def drop_after(self, step: int) -> None:
        """Forget the rows of later steps."""
        self._rows = [row for row in self._rows if int(row["step"]) <= step]

    def add(self, row: Mapping[str, Cell]) -> None:
        """Append a row and write the file; columns that a row lacks stay empty."""
        self._columns += [name for name in row if name not in self._columns]
        self._rows.append({name: format_cell(value) for name, value in row.items()})
        self.write()

    def amend(self, row: Mapping[str, Cell]) -> None:
        """Put further values into the newest row and write the file."""
        self._columns += [name for name in row if name not in self._columns]
        self._rows[-1] |= {name: format_cell(value) for name, value in row.items()}
        self.write()

    def write(self) -> None:
        """Write the file."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_text(self._path, text.getvalue())


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read metrics.csv as text cells, one dict per row.

    Raises:
        RunError: the file is missing or some row has no epoch or step.
    """
    if not path.is_file():
        raise RunError(f"{path}: there is no such file; the run has not finished an epoch yet.")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name in ("epoch", "step"):
        if not all((row.get(name) or "").isdigit() for row in rows):
            raise RunError(f"{path}: some row has no {name} number. The file was edited or damaged.")
    return rows
