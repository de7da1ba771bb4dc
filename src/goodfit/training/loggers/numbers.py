"""The part of a row that a plotting tool takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goodfit.training.metrics_log import Cell

NOT_PLOTTED = ("epoch", "step")


def numbers_of(row: Mapping[str, Cell]) -> dict[str, float]:
    """Give the finite numbers of a row by column, without the counters that are axes."""
    return {
        name: float(value)
        for name, value in row.items()
        if name not in NOT_PLOTTED and not isinstance(value, str) and math.isfinite(value)
    }
