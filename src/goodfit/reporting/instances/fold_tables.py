"""The scores of a cross-validation on instances as its page shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.reporting.cross_validation import FoldTables, ScoreTable
from goodfit.reporting.tables import Tile
from goodfit.tasks.instances.fold_scores import fold_rows, spread_over_folds
from goodfit.tasks.instances.scores import format_score
from goodfit.tasks.scoring import spread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goodfit.tasks.instances.scores import InstanceScores

OPTIMISTIC = "optimistic: this set chose the checkpoint"


def instance_tables(scores: Mapping[str, InstanceScores], together: InstanceScores | None) -> FoldTables:
    """Give tiles and tables.

    Args:
        scores: fold -> its scores, for the finished ones.
        together: all their frames; None as long as there are none.
    """
    if together is None:
        return FoldTables([Tile("cross-validation AP", "–", "no fold is scored yet")])
    over_folds, main = spread_over_folds(scores), together.main
    optimistic = OPTIMISTIC if together.optimistic else ""
    mark = f"; {optimistic}" if optimistic else ""
    title = f"{together.set_name}, {together.frames} frames{mark}"
    tables = [
        ScoreTable(
            fold_rows(scores, together),
            caption="Each fold, scored by the model that has not trained on it; mean ± standard deviation" + mark,
            totals=2,
        ),
        ScoreTable(together.rows(), heading="All frames together", caption=title),
    ]
    if together.groups:
        tables.append(ScoreTable(together.group_rows(), heading="By group", caption=title, totals=0))
    return FoldTables(
        tiles=[
            Tile(f"{main} AP over folds", spread(over_folds.mean[f"{main}_ap"], 3), optimistic or "mean ± std"),
            Tile(f"{main} AP50 over folds", spread(over_folds.mean[f"{main}_ap50"], 3), "mean ± std"),
            Tile(f"{main} AP of all frames", format_score(together.numbers.ap), f"{together.frames} frames"),
        ],
        tables=tables,
        optimistic=optimistic,
        notes=together.notes,
        rules=together.rules,
        rules_heading="How detections are scored",
    )
