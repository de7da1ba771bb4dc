"""The curves of a run that tell how well it fits, read from the rows of metrics.csv."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goodfit.training.fit.series import Series

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.training.fit.series import Trend

# A first value may stretch the scale of the losses to this many times the range of all levels after it.
WILD_START = 20.0
VAL_LOSS = "val_loss"


@dataclass(frozen=True)
class Curves:
    """The curves of a run, one entry per row of metrics.csv; missing values are NaN.

    Attributes:
        epochs: epoch of each row.
        steps: finished steps at each row; the number of the row where metrics.csv does not tell.
        cooldown: whether the row belongs to the cooldown.
        train_loss: loss of the fixed training samples in evaluation mode. Where that column (train_eval_loss) is
            empty it is the running train_loss, measured with augmentation and changing weights: good for
            its trend, not for its distance from the validation loss.
        like_validation: whether ``train_loss`` was measured as the validation loss was.
        val_loss: validation loss.
        metric: the watched metric.
        monitor: its column.
        larger_is_better: whether it rises as the fit gets better.
    """

    epochs: tuple[int, ...]
    steps: tuple[int, ...]
    cooldown: tuple[bool, ...]
    train_loss: tuple[float, ...]
    like_validation: bool
    val_loss: tuple[float, ...]
    metric: tuple[float, ...]
    monitor: str
    larger_is_better: bool

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, str | float]], monitor: str, larger_is_better: bool) -> Curves:
        """Read the rows of metrics.csv, as text cells or numbers; columns and cells may be missing."""

        def read(column: str) -> tuple[float, ...]:
            return tuple(_number(row.get(column)) for row in rows)

        def count(column: str) -> tuple[int, ...]:
            numbers = read(column)
            told = all(0 <= value < 1e15 for value in numbers)
            return tuple(int(value) for value in numbers) if told else tuple(range(1, len(rows) + 1))

        fixed = read("train_eval_loss")
        like_validation = any(map(math.isfinite, fixed))
        return cls(
            epochs=count("epoch"),
            steps=count("step"),
            cooldown=tuple(row.get("phase") == "cooldown" for row in rows),
            train_loss=fixed if like_validation else read("train_loss"),
            like_validation=like_validation,
            val_loss=read(VAL_LOSS),
            metric=read(monitor),
            monitor=monitor,
            larger_is_better=larger_is_better,
        )

    @property
    def validations(self) -> int:
        """Number of rows with a validation loss or, if there are more of them, with the metric."""
        return max(sum(map(math.isfinite, values)) for values in (self.val_loss, self.metric))

    @property
    def name(self) -> str:
        """The watched metric in words."""
        names = {"val_dice": "Dice", "val_ap": "AP", VAL_LOSS: "validation loss"}
        return names.get(self.monitor) or self.monitor.removeprefix("val_").replace("dice_", "Dice of ")

    def epoch(self, step: int) -> int:
        """Epoch of the first row at or after a step."""
        return next((epoch for epoch, at in zip(self.epochs, self.steps, strict=True) if at >= step), max(self.epochs))

    def span(self, trend: Trend) -> str:
        """The end of the training that a trend was fitted to, in words."""
        epochs = self.epoch(trend.last) - self.epoch(trend.first)
        length = f"{epochs} epochs" if epochs > 1 else f"{trend.last - trend.first} steps"
        return f"over the last {length}" + (" before the cooldown" if any(self.cooldown) else "")


@dataclass(frozen=True)
class Scale:
    """What shares of the losses are shares of.

    Attributes:
        value: the unit; 0 where the losses never moved.
        limited: whether a wild start was cut off.
    """

    value: float
    limited: bool

    def __str__(self) -> str:
        """The unit in words, to stand behind a share."""
        words = f"{WILD_START:g} times the losses' range after" if self.limited else "the losses' range since"
        return f" (shares of {self.value:.3g}, {words} the start)"


@dataclass(frozen=True)
class Part:
    """Some rows of the curves as series; in all of them lower is better.

    Attributes:
        train: training loss, None without a value.
        val: validation loss, None without a value.
        metric: the watched metric (negated where larger is better); None where it is the validation loss itself or
            has fewer values than were asked for.
    """

    train: Series | None
    val: Series | None
    metric: Series | None

    @classmethod
    def of(cls, curves: Curves, *, cooldown: bool, least: int) -> Part:
        """Take all rows, or (``cooldown`` False) those before the cooldown."""
        keep = [at for at, cooling in enumerate(curves.cooldown) if cooldown or not cooling]

        def series(values: tuple[float, ...], sign: int = 1) -> Series | None:
            return Series.of(tuple(curves.steps[at] for at in keep), tuple(sign * values[at] for at in keep))

        metric = None if curves.monitor == VAL_LOSS else series(curves.metric, -1 if curves.larger_is_better else 1)
        enough = metric is not None and len(metric.values) >= least
        return cls(series(curves.train_loss), series(curves.val_loss), metric if enough else None)

    @property
    def decides(self) -> Series | None:
        """The metric, else the validation loss."""
        return self.metric or self.val

    @property
    def scale(self) -> Scale:
        """S of the verdict's rule."""
        losses = [series for series in (self.train, self.val) if series is not None]
        if not losses:
            return Scale(0.0, False)
        whole = max(series.head for series in losses) - min(series.best for series in losses)
        rest = [level for series in losses for level in series.smooth[3:]]
        most = WILD_START * (max(rest) - min(rest)) if rest else 0.0
        return Scale(most, True) if 0 < most < whole else Scale(max(whole, 0.0), False)


def _number(cell: str | float | None) -> float:
    if cell is None or cell == "":
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
