from __future__ import annotations

from dataclasses import replace

import pytest

from goodfit.reporting.content import read_content
from goodfit.reporting.tables import (
    budget_lines,
    case_table,
    environment_rows,
    split_rows,
    tiles,
    training_seconds,
)
from goodfit.tasks.segmentation.scores import OPTIMISTIC


@pytest.fixture
def content(finished_run):
    return read_content(finished_run)


def test_tiles_show_the_test_score_first(content):
    shown = tiles(content)
    assert shown[0].label == "test Dice"
    assert shown[0].value == f"{content.scores.mean_dice:.3f}"
    assert {tile.label: tile.value for tile in shown}["best validation Dice"] == "0.800"
    assert tiles(replace(content, scores=None))[0].note == "not scored yet"


def test_optimistic_score_is_marked_in_its_tile(content):
    optimistic = content.scores.model_copy(update={"set": "validation", "optimistic": True})
    tile = tiles(replace(content, scores=optimistic))[0]
    assert (tile.label, tile.note) == ("validation Dice", OPTIMISTIC)


def test_time_comes_from_either_column(content):
    assert training_seconds(content) == 30
    rows = [{name: cell for name, cell in row.items() if name != "elapsed_seconds"} for row in content.rows]
    assert training_seconds(replace(content, rows=rows)) == 30


def test_budget_is_compared_with_what_was_used(content):
    planned, used = budget_lines(content)[0], budget_lines(content)[-1]
    assert "1,000 steps" in planned
    assert "2 training cases" in planned
    assert used == "Used: 500 steps, 1,000 samples, 30 s (60 ms per step, validation included)"
    assert budget_lines(replace(content, split=None)) == [used]
    assert budget_lines(replace(content, plan=None)) == []


def test_split_counts(content):
    assert [row[:3] for row in split_rows(content)] == [
        ("train", 2, None),
        ("validation", 1, None),
        ("test", 5, None),
    ]
    groups = dict.fromkeys(content.split.test, "one child")
    grouped = content.split.model_copy(update={"groups": groups})
    assert split_rows(replace(content, split=grouped))[2][2] == 1


def test_the_use_of_sets_that_share_cases_is_said(content):
    split = content.split.model_copy(
        update={"validation": content.split.test, "optimistic": True, "optimistic_reason": "the fold decided"}
    )
    assert split_rows(replace(content, split=split))[2][3] == "scored at the end; optimistic: the fold decided"
    everything = split.model_copy(update={"validation": split.train, "test": [], "optimistic_reason": "all trained"})
    shown = replace(content, split=everything, scores=None)
    assert split_rows(shown)[2] == ("test", 0, None, "none to score: all trained")
    assert [tile.note for tile in tiles(shown)][:2] == ["no test cases", "on training cases"]


def test_cases_are_listed_worst_first(content):
    table = case_table(content.scores)
    assert table.header[:4] == ["case", "mean Dice", "organ Dice", "lesion Dice"]
    assert [row[0].text for row in table.rows] == ["case_10", "case_4", "case_3", "case_2", "case_1"]
    best = table.rows[-1]
    assert (best[1].text, best[1].share) == ("1.000", 1.0)
    assert all(len(row) == len(table.header) for row in table.rows)


def test_environment_is_flattened():
    record = {"dataset": "d", "environment": {"threads": 2, "packages": {"torch": "2"}}, "none": None, "list": [1, 2]}
    assert environment_rows(record) == [
        ("dataset", "d"),
        ("environment threads", "2"),
        ("environment packages torch", "2"),
        ("list", "1, 2"),
    ]
