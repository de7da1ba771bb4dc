"""Pieces of score files of any task: numbers that may be missing, their mean and spread, the same over folds."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Iterable


def _nan_for_null(value: Any) -> Any:
    return math.nan if value is None else value


Number = Annotated[float, BeforeValidator(_nan_for_null)]
"""A float that may be NaN; NaN is null in JSON."""


class Statistic(BaseModel):
    """Mean, spread and median over the cases that count; NaN where none does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: Number
    std: Number
    """Standard deviation of these cases (divided by their number)."""
    median: Number


class FoldSpread(BaseModel):
    """Mean and spread over folds; each fold counts once, however many cases it has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folds: int
    mean: dict[str, Statistic]
    """Metric -> over folds, of each fold's mean over classes."""
    classes: dict[str, dict[str, Statistic]]
    """Class -> metric -> over folds, of each fold's mean over cases."""


def statistic_of(values: Iterable[float]) -> Statistic:
    """Describe values; NaN are left out."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return Statistic(mean=math.nan, std=math.nan, median=math.nan)
    return Statistic(mean=statistics.fmean(known), std=statistics.pstdev(known), median=statistics.median(known))


def number(value: float, digits: int) -> str:
    """Format a score for a table; NaN is a dash."""
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def spread(statistic: Statistic, digits: int) -> str:
    """Format mean and standard deviation for a table."""
    if math.isnan(statistic.mean):
        return "–"
    return f"{statistic.mean:.{digits}f} ± {statistic.std:.{digits}f}"
