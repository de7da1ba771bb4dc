"""The scores of a cross-validation of a segmentation on its page."""

from __future__ import annotations

from tests.tasks.segmentation.test_fold_scores import fold

from goodfit.reporting.fold_tables import segmentation_tables
from goodfit.tasks.segmentation.fold_scores import pool
from goodfit.tasks.segmentation.scores import OPTIMISTIC


def test_nothing_is_shown_before_a_fold_is_scored() -> None:
    shown = segmentation_tables({}, None)
    assert [tile.note for tile in shown.tiles] == ["no fold is scored yet"]
    assert shown.tables == ()


def test_folds_and_cases_are_tables_and_their_means_are_tiles() -> None:
    scores = {"0": fold(a=(0.8, 0.6)), "1": fold(b=(0.9, 0.7), c=(0.9, 0.7))}
    shown = segmentation_tables(scores, pool(scores))
    assert [table.heading for table in shown.tables] == ["", "All cases together"]
    assert len(shown.tables[0].rows) == 2 + shown.tables[0].totals + 1, "head, two folds, spread and all cases"
    over_folds, distance, all_cases = shown.tiles
    assert over_folds.value == "0.750 ± 0.050"
    assert (distance.value, distance.note) == ("7.50 ± 0.50", "mm")
    assert (all_cases.value, all_cases.note) == ("0.767", "3 cases")
    assert shown.optimistic == ""


def test_optimistic_scores_are_marked_at_tile_and_tables() -> None:
    scores = {"0": fold(optimistic=True, a=(0.8, 0.6)), "1": fold(optimistic=True, b=(0.9, 0.7))}
    shown = segmentation_tables(scores, pool(scores))
    assert shown.optimistic == OPTIMISTIC
    assert shown.tiles[0].note == OPTIMISTIC
    assert all(OPTIMISTIC in table.caption for table in shown.tables)
