"""The scores of a cross-validation: per fold, their mean and spread over folds, and over all cases together."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from goodfit.tasks.scoring import FoldSpread, number, spread, statistic_of
from goodfit.tasks.segmentation.scores import AVERAGED, Scores, gather

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CROSS_VALIDATION = "cross-validation"


def spread_over_folds(scores: Mapping[str, Scores]) -> FoldSpread:
    """Average the scores of folds.

    Args:
        scores: fold -> its scores; all of the same classes.
    """
    folds = list(scores.values())
    if not folds:
        return FoldSpread(folds=0, mean={}, classes={})
    return FoldSpread(
        folds=len(folds),
        mean={metric: statistic_of(fold.mean[metric] for fold in folds) for metric in folds[0].mean},
        classes={
            name: {
                metric: statistic_of(getattr(fold.classes[name], metric).mean for fold in folds) for metric in AVERAGED
            }
            for name in folds[0].classes
        },
    )


def pool(scores: Mapping[str, Scores]) -> Scores:
    """Put the cases of all folds together, as if one model had predicted them.

    A case that several folds score stands once for each, as "case (fold 0)". The outcome is optimistic as soon as
    one fold is.

    Args:
        scores: fold -> its scores, at least one; all of the same classes.
    """
    first = next(iter(scores.values()))
    times = Counter(case for fold in scores.values() for case in fold.cases)
    cases = {
        case if times[case] == 1 else f"{case} (fold {name})": metrics
        for name, fold in scores.items()
        for case, metrics in fold.cases.items()
    }
    notes = list(dict.fromkeys(note for fold in scores.values() for note in fold.notes))
    if len({(fold.distance_unit, fold.volume_unit) for fold in scores.values()}) > 1:
        notes.append("The folds are scored in different units: their distances and volumes do not compare.")
    return gather(
        cases,
        list(first.classes),
        set_name=CROSS_VALIDATION,
        optimistic=any(fold.optimistic for fold in scores.values()),
        tolerance=first.tolerance,
        distance_unit=first.distance_unit,
        volume_unit=first.volume_unit,
        spacing_known=all(fold.spacing_known for fold in scores.values()),
        notes=notes,
    )


def fold_rows(scores: Mapping[str, Scores], most_classes: int | None = None) -> list[list[str]]:
    """Table of the folds as text cells: Dice of each class, mean Dice, mean HD95; the first row is the header.

    The last two rows are mean ± standard deviation over folds and over cases.

    Args:
        scores: fold -> its scores, at least one; all of the same classes.
        most_classes: with more classes than this the table shows their mean only.
    """
    first = next(iter(scores.values()))
    shown = list(first.classes)
    if most_classes is not None and len(shown) > most_classes:
        shown = []
    over_folds, together = spread_over_folds(scores), pool(scores)
    rows = [["fold", "cases", *(f"{name} Dice" for name in shown), "mean Dice", f"mean HD95 ({first.distance_unit})"]]
    for name, fold in scores.items():
        dice = [number(fold.classes[label].dice.mean, 3) for label in shown]
        rows.append([name, str(len(fold.cases)), *dice, number(fold.mean_dice, 3), number(fold.mean["hd95"], 2)])
    dice = [spread(over_folds.classes[label]["dice"], 3) for label in shown]
    means = [spread(over_folds.mean["dice"], 3), spread(over_folds.mean["hd95"], 2)]
    rows.append(["mean over folds", "", *dice, *means])
    dice = [spread(together.classes[label].dice, 3) for label in shown]
    per_case = [together.case_dice(case) for case in together.cases]
    means = [spread(statistic_of(per_case), 3), spread(statistic_of(_case_distances(together)), 2)]
    rows.append(["mean over cases", str(len(together.cases)), *dice, *means])
    return rows


def _case_distances(scores: Scores) -> Sequence[float]:
    """Mean HD95 of each case over the classes that count in it."""
    return [statistic_of(one.hd95 for one in classes.values()).mean for classes in scores.cases.values()]
