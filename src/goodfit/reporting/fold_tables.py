"""The scores of a cross-validation of a segmentation as its page shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.reporting.cross_validation import FoldTables, ScoreTable
from goodfit.reporting.tables import Tile
from goodfit.tasks.scoring import number, spread
from goodfit.tasks.segmentation.fold_scores import fold_rows, spread_over_folds
from goodfit.tasks.segmentation.scores import OPTIMISTIC

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goodfit.tasks.segmentation.scores import Scores


def segmentation_tables(scores: Mapping[str, Scores], together: Scores | None) -> FoldTables:
    """Give tiles and tables.

    Args:
        scores: fold -> its scores, for the finished ones.
        together: all their cases; None as long as there are none.
    """
    if together is None:
        return FoldTables([Tile("cross-validation Dice", "–", "no fold is scored yet")])
    over_folds = spread_over_folds(scores)
    optimistic = OPTIMISTIC if together.optimistic else ""
    mark = f"; {optimistic}" if optimistic else ""
    return FoldTables(
        tiles=[
            Tile("Dice over folds", spread(over_folds.mean["dice"], 3), optimistic or "mean ± std"),
            Tile("HD95 over folds", spread(over_folds.mean["hd95"], 2), together.distance_unit),
            Tile("Dice of all cases", number(together.mean_dice, 3), f"{len(together.cases)} cases"),
        ],
        tables=[
            ScoreTable(
                fold_rows(scores),
                caption="Each fold, scored by the model that has not trained on it; mean ± standard deviation" + mark,
                totals=2,
            ),
            ScoreTable(
                together.rows(),
                heading="All cases together",
                caption=f"{together.title}: per class, mean ± standard deviation over cases",
            ),
        ],
        optimistic=optimistic,
        notes=together.notes,
        rules=together.rules,
        rules_heading="How empty masks are scored",
    )
