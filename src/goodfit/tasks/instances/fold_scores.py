"""The scores of a cross-validation on instances: per fold, and their mean and spread over folds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from goodfit.tasks.instances.scores import CategoryScores, CocoNumbers, InstanceScores, format_score
from goodfit.tasks.scoring import FoldSpread, spread, statistic_of

if TYPE_CHECKING:
    from collections.abc import Mapping

CROSS_VALIDATION = "cross-validation"
_SHOWN = {"ap": "AP", "ap50": "AP50", "ap75": "AP75"}
_OF_CATEGORIES = tuple(name for name in CategoryScores.model_fields if name != "instances")
_DECIMALS = 3


def fold_means(scores: InstanceScores) -> tuple[dict[str, float | None], dict[str, dict[str, float | None]]]:
    """Give "mask_ap" and so on -> score, and category -> the same, of a fold; None where it is not defined."""
    means = {
        f"{kind}_{name}": _known(getattr(numbers, name))
        for kind, numbers in scores.kinds.items()
        for name in CocoNumbers.model_fields
    }
    categories = {
        category: {
            f"{kind}_{name}": _known(getattr(numbers.categories[category], name))
            for kind, numbers in scores.kinds.items()
            for name in _OF_CATEGORIES
        }
        for category in scores.numbers.categories
    }
    return means, categories


def spread_over_folds(scores: Mapping[str, InstanceScores]) -> FoldSpread:
    """Average the scores of folds.

    Args:
        scores: fold -> its scores; all of the same categories and kinds.
    """
    folds = [fold_means(fold) for fold in scores.values()]
    if not folds:
        return FoldSpread(folds=0, mean={}, classes={})
    means, categories = folds[0]
    return FoldSpread(
        folds=len(folds),
        mean={name: statistic_of(_number(fold[name]) for fold, _ in folds) for name in means},
        classes={
            category: {name: statistic_of(_number(fold[category][name]) for _, fold in folds) for name in own}
            for category, own in categories.items()
        },
    )


def fold_rows(
    scores: Mapping[str, InstanceScores], together: InstanceScores, most_categories: int | None = None
) -> list[list[str]]:
    """Table of the folds as text cells: AP, AP50 and AP75 of each kind, AP of each category; the header first.

    The last two rows are mean ± standard deviation over folds, and all frames scored together.

    Args:
        scores: fold -> its scores, at least one; all of the same categories and kinds.
        together: the frames of all folds, scored as one set.
        most_categories: with more categories than this the table leaves them out.
    """
    main, over_folds = together.main, spread_over_folds(scores)
    shown = list(together.numbers.categories)
    if len(shown) < 2 or (most_categories is not None and len(shown) > most_categories):
        shown = []
    kinds = list(together.kinds)
    header = [f"{kind} {said}" for kind in kinds for said in _SHOWN.values()]
    rows = [["fold", "frames", "objects", *header, *(f"{name} {main} AP" for name in shown)]]

    def cells(one: InstanceScores) -> list[str]:
        numbers = [format_score(getattr(one.kinds[kind], name)) for kind in kinds for name in _SHOWN]
        return [*numbers, *(format_score(one.numbers.categories[name].ap) for name in shown)]

    for name, fold in scores.items():
        rows.append([name, str(fold.frames), str(fold.instances), *cells(fold)])
    means = [spread(over_folds.mean[f"{kind}_{name}"], _DECIMALS) for kind in kinds for name in _SHOWN]
    means += [spread(over_folds.classes[name][f"{main}_ap"], _DECIMALS) for name in shown]
    rows.append(["mean over folds", "", "", *means])
    rows.append(["all frames together", str(together.frames), str(together.instances), *cells(together)])
    return rows


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _number(value: float | None) -> float:
    return math.nan if value is None else value
