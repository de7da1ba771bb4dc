"""The part of a row that a plotting tool takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goodfit.training.metrics_log import Cell

NOT_PLOTTED = ("epoch", "step")


class NewNumbers:
    """Tells which numbers have not been logged yet: those of a validation come again in the row of the epoch's end."""

    def __init__(self) -> None:
        self.newest: dict[str, int] = {}
        """Column -> step of its newest number."""

    def of(self, row: Mapping[str, Cell], step: int) -> dict[str, float]:
        """Give the numbers of a row that are new, and remember them."""
        found = {name: value for name, value in numbers_of(row).items() if self.newest.get(name, -1) < step}
        self.newest |= dict.fromkeys(found, step)
        return found


def numbers_of(row: Mapping[str, Cell]) -> dict[str, float]:
    """Give the finite numbers of a row by column, without the counters that are axes."""
    return {
        name: float(value)
        for name, value in row.items()
        if name not in NOT_PLOTTED and not isinstance(value, str) and math.isfinite(value)
    }
