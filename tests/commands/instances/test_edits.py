"""What is said of an edited plan."""

from __future__ import annotations

from typing import Any

import pytest

from goodfit.commands.instances.edits import measured_parts, remarks_on_edits, values_of
from goodfit.planning.instances.plan import InstancePlan

DATA = {"name": "rooms", "key": "key", "categories": ["person"], "has_masks": True}


def plan(**sections: Any) -> InstancePlan:
    return InstancePlan.model_validate({"goodfit_version": "0", "memory": 1e9, "data": DATA, **sections})


def remarks(**sections: Any) -> list[str]:
    return remarks_on_edits(values_of(plan()), plan(**sections))


def test_an_edit_is_named_with_both_values() -> None:
    assert remarks(sampling={"novelty": 0.9}) == ["plan.json was edited: sampling.novelty is 0.9, was 0.5"]
    assert remarks() == []


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"predicted_memory": 3.0}, "predicted_memory was edited, without effect"),
        ({"training": {"momentum": 0.8}}, "training.momentum was edited, without effect: it is of the optimizer sgd"),
        ({"batch_size": 4}, "training.learning_rate stays: 0.002"),
        ({"model": {"weights": "none"}}, "Set model.normalisation to group"),
        ({"model": {"weights": "none", "frozen_stages": 2}}, "Set model.frozen_stages to 0"),
        ({"augmentation": {"quarter_turns": 0.5}}, "model.anchor_ratios stays"),
    ],
)
def test_what_has_no_effect_or_calls_for_more_is_warned_about(sections: dict[str, Any], message: str) -> None:
    assert any(line.startswith("warning:") and message in line for line in remarks(**sections))


def test_no_warning_where_what_follows_is_edited_too() -> None:
    assert not [
        line
        for line in remarks(batch_size=4, training={"learning_rate": 1e-3, "optimizer": "sgd", "momentum": 0.8})
        if line.startswith("warning:")
    ]


@pytest.mark.parametrize(
    ("sections", "same"),
    [
        ({"model": {"image_min_size": 100}}, False),
        ({"batch_size": 5}, False),
        ({"budget": {"epochs": 5}}, False),
        ({"training": {"optimizer": "sgd"}}, False),
        ({"training": {"patience": 5}}, True),
        ({"sampling": {"novelty": 1.0}}, True),
        ({"predicted_memory": 5.0}, True),
        ({"budget": {"expected_steps": 5}}, True),
    ],
)
def test_only_what_takes_time_or_memory_is_measured_anew(sections: dict[str, Any], same: bool) -> None:
    assert (measured_parts(plan(**sections)) == measured_parts(plan())) is same
