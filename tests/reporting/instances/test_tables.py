from __future__ import annotations

from dataclasses import replace

import pytest

from goodfit.reporting.instances.content import read_instance_content
from goodfit.reporting.instances.tables import budget_lines, group_table, part_table, tiles
from goodfit.tasks.instances.scores import PartScores


@pytest.fixture
def content(instance_run):
    return read_instance_content(instance_run)


def test_tiles_show_the_test_score_first(content):
    shown = {tile.label: tile for tile in tiles(content)}
    assert list(shown)[:3] == ["test mask AP", "test mask AP50", "test box AP"]
    assert shown["test mask AP"].value == f"{content.scores.numbers.ap:.3f}"
    assert shown["objects found"].value == f"{100 * content.scores.found / 48:.0f} %"
    assert shown["objects found"].note == f"of 48; {content.scores.false} false"
    assert shown["best validation AP"].value == "0.600"
    assert (shown["epochs"].value, shown["training time"].value) == ("12", "36 s")
    assert tiles(replace(content, scores=None))[0].note == "not scored yet"
    assert (
        tiles(replace(content, scores=None, split=content.split.model_copy(update={"test": []})))[0].note
        == "no test frames"
    )


def test_optimistic_scores_are_marked(content):
    optimistic = content.scores.model_copy(update={"optimistic": True})
    assert [tile.note for tile in tiles(replace(content, scores=optimistic))[:3]] == ["optimistic"] * 3


def test_budget_is_compared_with_what_was_used(content):
    planned, used = budget_lines(content)
    assert planned == (
        "Batch 4 x 50 steps x at most 20 epochs = 1,000 steps, 4,000 samples, 333.3 passes over 12 training frames"
    )
    assert used == "Used: 600 steps, 2,400 samples, 36 s (60 ms per step, validation included)"
    budget = content.plan.budget.model_copy(
        update={"time": 60.0, "expected_steps": 200, "reasons": {"time": "a minute"}}
    )
    timed = replace(content, plan=content.plan.model_copy(update={"budget": budget}))
    assert "about 4 epochs = 200 steps" in budget_lines(timed)[0]
    assert budget_lines(timed)[1] == "A minute"
    assert budget_lines(replace(content, plan=None)) == []


def test_groups_are_listed_worst_first(content):
    table = group_table(content.scores)
    assert table.header == ["group", "frames", "objects", "mask AP", "mask AP50"]
    assert {row[0].text for row in table.rows} == {"v1", "v2"}
    keys = [float(row[3].key) for row in table.rows]
    assert keys == sorted(keys)
    assert table.rows[0][3].share == keys[0]


def test_parts_stand_in_order_of_time(content):
    parts = [PartScores(title=f"frames {at} to {at + 9}", frames=10, instances=4, ap=0.5, ap50=0.6) for at in (0, 10)]
    group = content.scores.groups["v1"].model_copy(update={"parts": parts})
    table = part_table(content.scores.model_copy(update={"groups": {"v1": group}}))
    assert [row[0].text for row in table.rows] == ["v1, frames 0 to 9", "v1, frames 10 to 19"]
    assert part_table(content.scores).rows == []
