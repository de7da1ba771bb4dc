"""Robust readings of a noisy series: its level, its noise, its trend.

Everything here is equivariant: adding a constant to the values moves levels by it and changes nothing else,
multiplying the values by a positive number multiplies levels, noise and slopes by it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median

import numpy as np

# A running median looks at a tenth of the series: wide enough for noise, narrow enough for the bends of a training.
WINDOW_SHARE = 0.1
# Mean distance of a normal value from the median of itself and its neighbours is 0.564 standard deviations.
DISTANCE_TO_DEVIATION = 1.773
# A few values tell little about their noise, and telling too little of it is the worse mistake: it is taken this
# share larger, divided by the number of values.
FEW_VALUES = 4.0
# A median of k normal values scatters 1.25 times as much as their mean.
MEDIAN_SCATTER = 1.25
# More values than these are first joined into medians of neighbours; trends look at all pairs.
MOST_VALUES = 1000
# Values beyond this are no measurement; leaving them out keeps every difference finite.
LARGEST = 1e30


@dataclass(frozen=True)
class Trend:
    """A straight line through the end of a series.

    Attributes:
        slope: change of the value per step (median over the slopes of all pairs: Theil and Sen).
        error: standard error of ``change``, from the noise of the whole series.
        first: step at which the line begins.
        last: step at which it ends.
    """

    slope: float
    error: float
    first: int
    last: int

    @property
    def change(self) -> float:
        """Change of the value along the line."""
        return self.slope * (self.last - self.first)


@dataclass(frozen=True)
class Series:
    """Values at rising steps, no missing ones among them; build it with ``of``.

    Attributes:
        steps: steps of the values, never falling.
        values: the values, finite.
        first: the first value as measured.
        head: largest of the first three values as measured.
    """

    steps: tuple[int, ...]
    values: tuple[float, ...]
    first: float
    head: float

    @classmethod
    def of(cls, steps: tuple[int, ...], values: tuple[float, ...]) -> Series | None:
        """Leave out missing values (NaN, infinite or beyond measure); None when nothing is left."""
        pairs = zip(steps, values, strict=True)
        known = sorted(((x, y) for x, y in pairs if abs(y) <= LARGEST), key=lambda pair: pair[0])
        if not known:
            return None
        first, head = known[0][1], max(value for _, value in known[:3])
        block = math.ceil(len(known) / MOST_VALUES)
        blocks = [known[at : at + block] for at in range(0, len(known), block)]
        return cls(
            tuple(part[-1][0] for part in blocks), tuple(median(y for _, y in part) for part in blocks), first, head
        )

    @cached_property
    def half_window(self) -> int:
        """Values that the running median sees on either side."""
        return max(1, int(len(self.values) * WINDOW_SHARE / 2))

    @cached_property
    def smooth(self) -> tuple[float, ...]:
        """Running median, centred; at the ends of the series its window is cut."""
        half, values = self.half_window, self.values
        return tuple(median(values[max(0, at - half) : at + half + 1]) for at in range(len(values)))

    @cached_property
    def noise(self) -> float:
        """Standard deviation of a value around its neighbours; 0 for fewer than three values."""
        inner = range(1, len(self.values) - 1)
        distances = [abs(self.values[at] - median(self.values[at - 1 : at + 2])) for at in inner]
        doubt = 1 + FEW_VALUES / len(self.values)
        return doubt * DISTANCE_TO_DEVIATION * fmean(distances) if distances else 0.0

    @property
    def error(self) -> float:
        """Standard error of a level at the end of the series."""
        return MEDIAN_SCATTER * self.noise / math.sqrt(self.half_window + 1)

    @cached_property
    def best(self) -> float:
        """Lowest level."""
        return min(self.smooth)

    @property
    def now(self) -> float:
        """Level at the end."""
        return self.smooth[-1]

    def at(self, step: int) -> float:
        """Level at a step: that of the last value at or before it, else the first."""
        found = [level for x, level in zip(self.steps, self.smooth, strict=True) if x <= step]
        return found[-1] if found else self.smooth[0]

    def last_below(self, level: float) -> int:
        """Last step whose level is at most ``level``, which must not be below the best."""
        return [x for x, value in zip(self.steps, self.smooth, strict=True) if value <= level][-1]

    def first_below(self, level: float) -> int:
        """First step whose level is at most ``level``, which must not be below the best."""
        return next(x for x, value in zip(self.steps, self.smooth, strict=True) if value <= level)

    def stays_above(self, level: float, values: int) -> bool:
        """Whether the last ``values`` levels all lie above ``level``."""
        return len(self.smooth) > values and min(self.smooth[-values:]) > level

    def tail(self, share: float, least: int) -> float:
        """Median of the last ``share`` of the levels, at least of ``least`` of them: never below the best."""
        return median(self.smooth[-max(least, math.ceil(share * len(self.smooth))) :])

    def trend(self, share: float, least: int) -> Trend:
        """Fit a line to the last ``share`` of the values, at least to ``least`` of them where there are so many."""
        taken = min(len(self.values), max(least, math.ceil(share * len(self.values))))
        steps, values = self.steps[-taken:], self.values[-taken:]
        x, y = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
        early, late = np.triu_indices(taken, k=1)
        run, rise = x[late] - x[early], y[late] - y[early]
        apart = run > 0
        slope = float(np.median(rise[apart] / run[apart])) if apart.any() else 0.0
        error = self.noise * math.sqrt(12 * (taken - 1) / (taken * (taken + 1)))
        return Trend(slope, error, steps[0], steps[-1])
