"""metrics.csv: one row per epoch, rewritten as a whole so that it never ends in half a row."""

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
        columns: order of the columns.
        keep_epochs: rows of later epochs are dropped, since a resumed run makes them anew.
    """

    def __init__(self, path: Path, columns: Sequence[str], keep_epochs: int = 0) -> None:
        self._path = path
        self._columns = list(columns)
        self._rows: list[dict[str, str]] = []
        if keep_epochs > 0:
            self._rows = [row for row in read_rows(path) if int(row["epoch"]) <= keep_epochs]

    def add(self, row: Mapping[str, Cell]) -> None:
        """Append a row and write the file; columns that the row lacks stay empty."""
        unknown = row.keys() - set(self._columns)
        assert not unknown, f"columns that metrics.csv does not have: {sorted(unknown)}"
        self._rows.append({name: format_cell(value) for name, value in row.items()})
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_text(self._path, text.getvalue())


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read metrics.csv as text cells, one dict per epoch.

    Raises:
        RunError: the file is missing or has no epoch column.
    """
    if not path.is_file():
        raise RunError(f"{path}: there is no such file; the run has not finished an epoch yet.")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if rows and not all((row.get("epoch") or "").isdigit() for row in rows):
        raise RunError(f"{path}: some row has no epoch number. The file was edited or damaged.")
    return rows
