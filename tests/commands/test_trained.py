"""What a run was trained with cannot be edited away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from goodfit.commands.trained import edits_since, refuse_edits, remember, trained_plan
from goodfit.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.commands.plan import Prepared


@pytest.fixture
def begun(prepare_run: Callable[..., Prepared]) -> Prepared:
    prepared = prepare_run()
    remember(prepared.run, prepared.plan, prepared.split)
    return prepared


def test_before_the_training_everything_may_be_edited(prepare_run: Callable[..., Prepared]) -> None:
    prepared = prepare_run()
    assert trained_plan(prepared.run) is None
    assert edits_since(prepared.run, prepared.plan, prepared.split) == []
    refuse_edits(prepared.run, prepared.plan, prepared.split)


def test_the_plan_of_the_weights_is_kept(begun: Prepared) -> None:
    assert trained_plan(begun.run) == begun.plan
    assert edits_since(begun.run, begun.plan, begun.split) == []


@pytest.mark.parametrize(
    ("section", "fields", "named"),
    [
        ("training", {"seed": 1, "optimizer": "sgd"}, {"training.seed", "training.optimizer"}),
        ("configuration", {"batch_size": 3}, {"configurations.3d_fullres.batch_size"}),
        ("configuration", {"spacing": [2, 1, 1.5]}, {"configurations.3d_fullres.spacing"}),
        ("data", {"classes": {"left": [1], "other": [2]}}, {"data.classes.other", "data.classes.right"}),
    ],
)
def test_an_edit_of_what_is_trained_is_named(
    begun: Prepared,
    prepare_run: Callable[..., Prepared],
    section: str,
    fields: dict[str, Any],
    named: set[str],
) -> None:
    edited = prepare_run(**{section: fields}).plan
    assert set(edits_since(begun.run, edited)) == named
    with pytest.raises(RunError, match=f"{min(named)}.* changed since this training began"):
        refuse_edits(begun.run, edited, begun.split)
    assert trained_plan(begun.run) == begun.plan


@pytest.mark.parametrize(
    ("section", "fields"),
    [
        ("budget", {"epochs": 50, "time": 60.0}),
        ("training", {"patience": 2, "min_delta": 0.5, "validation_share": 0.5}),
        ("training", {"reasons": {"seed": "said by hand"}}),
    ],
)
def test_how_long_it_goes_on_may_be_edited(
    begun: Prepared, prepare_run: Callable[..., Prepared], section: str, fields: dict[str, Any]
) -> None:
    edited = prepare_run(**{section: fields}).plan
    assert edited != begun.plan
    refuse_edits(begun.run, edited, begun.split)


def test_a_case_that_changes_its_set_is_refused_and_another_order_is_not(begun: Prepared) -> None:
    split = begun.split
    refuse_edits(begun.run, begun.plan, split.model_copy(update={"train": split.train[::-1]}))
    moved = split.model_copy(update={"train": ["c0", "c1", "c4"], "test": ["c2"]})
    assert edits_since(begun.run, begun.plan, moved) == ["splits.train", "splits.test"]
    with pytest.raises(RunError, match=r"splits\.train, splits\.test changed"):
        refuse_edits(begun.run, begun.plan, moved)
