"""The scores of a cross-validation on instances on its page."""

from __future__ import annotations

import pytest

from goodfit.reporting.instances.content import read_instance_content
from goodfit.reporting.instances.fold_tables import OPTIMISTIC, instance_tables


@pytest.fixture
def content(instance_run):
    return read_instance_content(instance_run)


def test_nothing_is_shown_before_a_fold_is_scored() -> None:
    shown = instance_tables({}, None)
    assert [tile.note for tile in shown.tiles] == ["no fold is scored yet"]
    assert shown.tables == ()


def test_folds_frames_and_groups_are_tables(content) -> None:
    scores = content.scores
    shown = instance_tables({"0": scores}, scores)
    assert [table.heading for table in shown.tables] == ["", "All frames together", "By group"]
    assert shown.tables[0].totals == 2
    assert shown.tables[0].rows[-1][0] == "all frames together"
    assert shown.optimistic == ""
    assert shown.rules == scores.rules


def test_optimistic_scores_are_marked_at_each_table(content) -> None:
    scores = content.scores.model_copy(update={"optimistic": True})
    shown = instance_tables({"0": scores}, scores)
    assert shown.tiles[0].note == OPTIMISTIC
    assert all(table.caption.endswith(OPTIMISTIC) for table in shown.tables)
