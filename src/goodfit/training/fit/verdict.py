"""The verdict on a training: still improving, a good fit, overfitting, not learning, or too early to say.

The curves are those of metrics.csv: the loss on fixed training samples in evaluation mode (T), the validation loss
measured the same way (V) and the watched metric (M). ``judge`` is a pure function of them. Levels are running
medians over a tenth of the validations, "best" and "now" are the lowest and the last level; a difference counts
only beyond three of its standard errors. Adding a constant to the losses or rescaling them changes no verdict.

Segmentation losses fall from about +1 to -0.9, so a share of the loss itself means nothing. All shares of the
losses are shares of one scale S: from the highest of the first three values of T and V down to the lowest level
of either, but at most 20 times the range of the levels after them, so that a wild first value cannot hide the rest.
Shares of M are shares of its own range, from the worst of its first three values to its best level.

The rule, in this order:

1. Too early: fewer than 4 validations; or fewer than 10 that are noisy and would come under the first half of 2.
2. Not learning: neither T (where it was measured like V, or 3 applies) nor V nor M ever left its first value, by
   four deviations of its noise (a good fit, though, where M stands above 0.5: it was reached before the first
   validation); or T has stayed 25 % of S or more over its best for the last tenth of the validations: the fit was
   lost.
3. Overfitting, by any of these; M has a say in the first and the last, see below.
   a. V lies at least 5 % of S over its best for the last tenth of the validations (at least 3), and since V was
      last at its best (within 1 %) T fell by 2 % of S or more, or did not rise where it already lies 25 % of S
      below V (nothing is left to learn by heart).
   b. M lies at least 10 % of its range below its best for as long, T fell meanwhile and V did not.
   c. V has not fallen any more while T fell by another 25 % of S: all that was learned was learned by heart.
      Only where T was measured like V.
4. Still improving: a line through the last fifth of the validations (at least 5) gains, per fifth of the
   training, 1 % of the range or more, and that is more than two of its standard errors. M decides; where M has not
   left its start yet, V does.
5. Not learning: the losses have settled, but M (where larger is better) is where it began, at 0.02 or less: a
   network that predicts background everywhere.
6. Good fit: everything else.

The cooldown. When the learning rate falls, T drops at once and M usually gains a little, whatever the fit. So 3c
and 4 look at the validations before the cooldown only. 3a and 3b must hold before the cooldown and still hold at the
end; what got worse in the cooldown alone must have got worse by twice as much.

The metric's say. Cross-entropy on validation often rises while the masks still get better: the network becomes
too sure of the few voxels that it gets wrong. So 3a and 3c do not count while M still improves (rule 4) and has
gained since the loss was at its best: the verdict is "still improving", with the loss named. Nor where M gained 10 %
of its range since then and kept that, and V lies less than 25 % of S over its best: "good fit by Dice, although
...". An M that has merely stayed level is no excuse: the network gets worse calibrated, and nothing is gained for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from goodfit.training.fit.curves import Curves, Part
from goodfit.training.fit.overfitting import (
    END_LEAST,
    END_SHARE,
    METRIC_DROP,
    STANDING_STILL,
    SURE,
    excused,
    gain,
    has_learned,
    lasting,
    left_start,
    margin,
    metric_range,
    metric_value,
    noisy,
    overfitting,
    percent,
)

if TYPE_CHECKING:
    from goodfit.training.fit.series import Trend

__all__ = ["Curves", "Kind", "Verdict", "judge", "short"]

Kind = Literal["still improving", "good fit", "overfitting", "not learning", "too early"]

FEW_VALIDATIONS = 10  # fewer say that something moves, but where they are noisy not that nothing does
MIN_VALIDATIONS = 4  # three points cannot tell a trend from noise
FIT_LOST = 0.25  # a quarter of all that was learned is gone
NOTHING = 0.02  # Dice or AP of a network that finds nothing
FOUND = 0.5  # Dice or AP that no untrained network has


@dataclass(frozen=True)
class Verdict:
    """What the curves say.

    Attributes:
        kind: the verdict.
        since_epoch: epoch from which on it holds, where that can be told.
        text: one sentence with the evidence, beginning with the kind.
    """

    kind: Kind
    since_epoch: int | None
    text: str


def short(verdict: Verdict) -> str:
    """Give the verdict as it stands in the column ``verdict`` of metrics.csv."""
    return verdict.kind


def judge(curves: Curves, finished: bool, stopped_by: str | None) -> Verdict:
    """Say what the curves show, by the rule of this module.

    Args:
        curves: what was measured so far.
        finished: whether the training has ended.
        stopped_by: why the cooldown (or the end) came, in the controller's words; None while none has.
    """
    if curves.validations < MIN_VALIDATIONS:
        made = f"{curves.validations} validation{'' if curves.validations == 1 else 's'}"
        ended = f"the training ended after {made}" if finished else f"{made} so far"
        return Verdict("too early", None, f"too early to say: {ended}, at least {MIN_VALIDATIONS} are needed")
    whole = Part.of(curves, cooldown=True, least=MIN_VALIDATIONS)
    before = Part.of(curves, cooldown=False, least=MIN_VALIDATIONS)
    if before.decides is None or len(before.decides.values) < MIN_VALIDATIONS:
        before = whole
    evidence = overfitting(curves, whole, before)
    failed = _unmoved(curves, whole, evidence is not None) or _lost(curves, whole)
    if failed is not None:
        return failed
    if evidence is not None and not excused(evidence, before):
        since = curves.epoch(evidence.since)
        said = f"overfitting since epoch {since}: {evidence.said}{_beside(curves, whole)}"
        return Verdict("overfitting", since, said)
    although = "" if evidence is None else f", although {evidence.said} since epoch {curves.epoch(evidence.since)}"
    by_metric = before.metric is not None and has_learned(before.metric)
    line = _gaining(before, by_metric)
    if line is not None:
        said = f"still improving{_stopped(finished, stopped_by)}: {_moved(curves, line, by_metric)}{although}"
        if not by_metric and before.metric is not None:
            said += f"; {_standing(curves, before)}, no better than at the first validation"
        elif whole.metric is not None and whole.metric.now > whole.metric.best + METRIC_DROP * metric_range(
            whole.metric
        ):
            said += _beside(curves, whole)
        return Verdict("still improving", None, said)
    if not by_metric and before.metric is not None and curves.larger_is_better and -before.metric.now <= NOTHING:
        return Verdict("not learning", None, f"not learning: {_standing(curves, before)}, and the losses have settled")
    return Verdict("good fit", None, _good_fit(curves, whole, before, although))


def _gaining(before: Part, by_metric: bool) -> Trend | None:
    """Rule 4."""
    if by_metric and before.metric is not None:
        return gain(before.metric, metric_range(before.metric))
    return None if before.val is None else gain(before.val, before.scale.value)


def _unmoved(curves: Curves, whole: Part, overfits: bool) -> Verdict | None:
    """The first half of rule 2, and the second of rule 1."""
    known = [series for series in (whole.train, whole.val, whole.metric) if series is not None]
    moved = [series for series in known if left_start(series)]
    # The running training loss of the first row holds the very first steps: it falls whatever validation does.
    if any(series is not whole.train or curves.like_validation or overfits for series in moved):
        return None
    standing = _standing(curves, whole)
    if curves.larger_is_better and whole.metric is not None and -whole.metric.now > FOUND:
        return Verdict("good fit", None, f"good fit: {standing}, reached before the first validation")
    if curves.validations < FEW_VALIDATIONS and any(noisy(series) for series in known):
        said = f"{curves.validations} validations, and noise hides whether anything moves"
        return Verdict("too early", None, f"too early to say: {said}")
    what = "the validation loss is" if moved else "the losses are"
    said = f"not learning: after {curves.validations} validations {what} where {'it' if moved else 'they'} began"
    return Verdict("not learning", None, said + (f"; {standing}" if standing else ""))


def _lost(curves: Curves, whole: Part) -> Verdict | None:
    """The second half of rule 2."""
    train, scale = whole.train, whole.scale
    if train is None or scale.value <= 0:
        return None
    if not train.stays_above(train.best + margin(train, FIT_LOST * scale.value), lasting(train)):
        return None
    since = curves.epoch(train.last_below(train.best + max(STANDING_STILL * scale.value, train.error)))
    over = percent((train.now - train.best) / scale.value)
    said = f"not learning: the fit was lost after epoch {since}, training loss is +{over} over its best{scale}"
    return Verdict("not learning", since, said + _beside(curves, whole))


def _good_fit(curves: Curves, whole: Part, before: Part, although: str) -> str:
    decides = before.decides
    assert decides is not None, "there are validations"
    line = decides.trend(END_SHARE, END_LEAST)
    if before.metric is not None:
        change = f"{-line.change if curves.larger_is_better else line.change:+.4f}"
        said = f"{curves.name} has levelled off at {metric_value(abs(decides.now))}"
    else:
        change, said = f"{line.change:+.3g}", "validation loss has levelled off"
    hidden = ", no more than noise" if 0 < abs(line.change) <= SURE * line.error else ""
    said += f" ({change} {curves.span(line)}{hidden})"
    if although:
        return f"good fit by {curves.name}: {said}{although}"
    val, scale = whole.val, whole.scale
    if val is None or scale.value <= 0:
        return f"good fit: {said}"
    over = (val.now - val.best) / scale.value
    near = "at its best" if over < STANDING_STILL else f"+{percent(over)} over its best{scale}"
    return f"good fit: {said}, validation loss is {near}"


def _moved(curves: Curves, line: Trend, by_metric: bool) -> str:
    change = metric_value(abs(line.change)) if by_metric else f"{abs(line.change):.3g}"
    way = "rose" if by_metric and curves.larger_is_better else "fell"
    return f"{curves.name if by_metric else 'validation loss'} {way} by {change} {curves.span(line)}"


def _standing(curves: Curves, part: Part) -> str:
    if part.metric is None:
        return ""
    return f"{curves.name} stands at {metric_value(-part.metric.now if curves.larger_is_better else part.metric.now)}"


def _beside(curves: Curves, whole: Part) -> str:
    """What the metric shows, behind a sentence about the losses."""
    if whole.metric is None:
        return ""
    best = -whole.metric.best if curves.larger_is_better else whole.metric.best
    return f"; {_standing(curves, whole)} (best {metric_value(best)})"


def _stopped(finished: bool, stopped_by: str | None) -> str:
    """Why it ended, in a word or two."""
    if not finished or not stopped_by:
        return ""
    causes = {
        "patience": ("patience", "has not"),
        "the user": ("user", "asked", "signal"),
        "the budget": ("budget",),
        "the time": ("time",),
    }
    said = stopped_by.lower()
    cause = next((cause for cause, words in causes.items() if any(word in said for word in words)), None)
    return f" (stopped by {cause})" if cause else f" (stopped: {stopped_by})"
