"""Signs of overfitting: rule 3 of the verdict, which explains it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goodfit.training.fit.curves import Curves, Part, Scale
    from goodfit.training.fit.series import Series, Trend

CERTAIN = 3 * math.sqrt(2)  # standard errors of a level that a difference of two levels must exceed
LASTING_SHARE, LASTING_LEAST = 0.1, 3  # a rise counts when it lasts: one bad validation is none
LOSS_RISE = 0.05  # visible in the plot, and five times what "at its best" allows
AT_BEST = 0.01  # a level this close to the best is at its best
STANDING_STILL = 0.02  # less is no fall (or loss) worth the name
LARGE_GAP = 0.25  # a quarter of all that was learned did not reach validation
METRIC_DROP = 0.10  # metrics of few whole cases jump more than losses do
IN_COOLDOWN = 2.0  # how many times as far a change must go that the cooldown alone made
METRIC_GAIN = 0.10  # a gain of the metric that makes up for a loss that rose
END_SHARE, END_LEAST = 0.2, 5  # the end of the training, for its trend
WORTH = 0.01  # at this pace, training as long again adds 5 % to all that was reached; less is not worth it
SURE = 2.0  # standard errors of the change along a line: 98 % certain
LEFT_START = 4.0  # deviations of the first value from the best of many levels, which is low by chance
DUST = 1e-7  # relative rounding of float32, in which losses are computed


@dataclass(frozen=True)
class Evidence:
    """A sign of overfitting.

    Attributes:
        since: step from which on it holds.
        said: the evidence in words.
        worse: share by which the validation loss (of the scale) or the metric (of its range) is off its best.
        by_metric: whether it is the watched metric that got worse, so that it cannot speak against.
    """

    since: int
    said: str
    worse: float = 0.0
    by_metric: bool = False


def overfitting(curves: Curves, whole: Part, before: Part) -> Evidence | None:
    """Look for signs of overfitting in all rows and in those before the cooldown."""
    scale = whole.scale
    if scale.value <= 0:
        return None
    for sign, enough in ((_loss_rose, LOSS_RISE), (_metric_fell, METRIC_DROP)):
        found = sign(curves, whole, scale)
        if found is not None and (found.worse >= IN_COOLDOWN * enough or sign(curves, before, scale) is not None):
            return found
    return _learned_by_heart(curves, whole, before, scale)


def excused(evidence: Evidence, before: Part) -> bool:
    """Whether the watched metric speaks against overfitting."""
    metric = before.metric
    if metric is None or evidence.by_metric or not has_learned(metric):
        return False
    span = metric_range(metric)
    gained = _fell(metric, evidence.since)
    if gain(metric, span) is not None:
        return gained >= margin(metric, WORTH * span)
    kept = metric.now - metric.best < margin(metric, STANDING_STILL * span)
    return kept and gained >= margin(metric, METRIC_GAIN * span) and evidence.worse < LARGE_GAP


def gain(series: Series, scale: float) -> Trend | None:
    """The line through the end of a series (lower is better), where it still gains what is worth it."""
    line = series.trend(END_SHARE, END_LEAST)
    pace = -line.slope * line.last * END_SHARE
    return line if line.change < -SURE * line.error and scale > 0 and pace >= WORTH * scale else None


def left_start(series: Series) -> bool:
    """Whether some level lies clearly below the first value."""
    scatter = math.hypot(series.noise, series.error)
    dust = DUST * max(map(abs, series.values))
    return series.first - series.best > max(LEFT_START * scatter, dust)


def noisy(series: Series) -> bool:
    """Whether the values scatter by more than their rounding."""
    return series.noise > DUST * max(map(abs, series.values))


def metric_range(metric: Series) -> float:
    """From the worst of the first three values to the best level."""
    return max(0.0, metric.head - metric.best)


def has_learned(metric: Series) -> bool:
    """Whether the metric has left its start and not come back to it, or is about to leave it."""
    span = metric_range(metric)
    away = left_start(metric) and metric.first - metric.now > METRIC_GAIN * span
    return away or gain(metric, span) is not None


def lasting(series: Series) -> int:
    """Number of levels that a change must last for."""
    return max(LASTING_LEAST, int(LASTING_SHARE * len(series.values)))


def margin(series: Series, difference: float) -> float:
    """The difference of levels that counts: at least ``difference``, and more than noise."""
    return max(difference, CERTAIN * series.error)


def percent(share: float) -> str:
    """Write a share of the scale."""
    return f"{100 * share:.0f} %" if share < 100 else "over 9,999 %"


def metric_value(value: float) -> str:
    """Write a value of the watched metric."""
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.4g}"


def _fell(series: Series, since: int) -> float:
    return series.at(since) - series.now


def _loss_rose(curves: Curves, part: Part, scale: Scale) -> Evidence | None:
    """Rule 3a."""
    train, val, unit = part.train, part.val, scale.value
    if train is None or val is None:
        return None
    if not val.stays_above(val.best + margin(val, LOSS_RISE * unit), lasting(val)):
        return None
    since = val.last_below(val.best + max(AT_BEST * unit, val.error))
    rise, fell, counts = (val.now - val.best) / unit, _fell(train, since), margin(train, STANDING_STILL * unit)
    risen = f"validation loss +{percent(rise)} over its best while training loss"
    if fell >= counts:
        return Evidence(since, f"{risen} fell {percent(fell / unit)}{scale}", rise)
    gap = (val.now - train.now) / unit
    if curves.like_validation and fell > -counts and gap >= LARGE_GAP:
        return Evidence(since, f"{risen} stays {percent(gap)} below it{scale}", rise)
    return None


def _metric_fell(curves: Curves, part: Part, scale: Scale) -> Evidence | None:
    """Rule 3b."""
    train, val, metric, unit = part.train, part.val, part.metric, scale.value
    if train is None or metric is None or not left_start(metric):
        return None
    span = metric_range(metric)
    if not metric.stays_above(metric.best + margin(metric, METRIC_DROP * span), lasting(metric)):
        return None
    since = metric.last_below(metric.best + max(AT_BEST * span, metric.error))
    fell = _fell(train, since)
    if fell < margin(train, STANDING_STILL * unit):
        return None
    if val is not None and _fell(val, since) >= margin(val, STANDING_STILL * unit):
        return None
    way = "fell" if curves.larger_is_better else "rose"
    drop = f"{curves.name} {way} by {metric_value(metric.now - metric.best)}"
    said = f"{drop} from its best while training loss fell {percent(fell / unit)}{scale}"
    return Evidence(since, said, (metric.now - metric.best) / span, by_metric=True)


def _learned_by_heart(curves: Curves, whole: Part, before: Part, scale: Scale) -> Evidence | None:
    """Rule 3c."""
    train, val, unit = before.train, before.val, scale.value
    if train is None or val is None or whole.val is None or not curves.like_validation:
        return None
    since = val.first_below(val.tail(END_SHARE, END_LEAST) + AT_BEST * unit)
    fell = _fell(train, since)
    if fell < margin(train, LARGE_GAP * unit) or gain(val, unit) is not None:
        return None
    if val.best - whole.val.now >= LOSS_RISE * unit:
        return None
    return Evidence(since, f"training loss fell {percent(fell / unit)} and validation loss did not follow{scale}")
