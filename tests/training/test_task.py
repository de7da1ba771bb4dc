"""The protocol of a task, and that segmentation keeps it."""

from __future__ import annotations

import inspect

import pytest

from goodfit.tasks.segmentation.task import SegmentationTask
from goodfit.training.task import Task, ValidationResult

MEMBERS = [name for name in vars(Task) if not name.startswith("_")]


@pytest.mark.parametrize("name", MEMBERS)
def test_segmentation_has_every_member_of_the_protocol(name: str) -> None:
    wanted, own = vars(Task)[name], vars(SegmentationTask)[name]
    assert type(own) is type(wanted), "a property is a property, a method a method"
    if inspect.isfunction(wanted):
        assert list(inspect.signature(own).parameters) == list(inspect.signature(wanted).parameters)


def test_the_loop_asks_for_these_and_no_more() -> None:
    assert set(MEMBERS) == {
        *(
            "network",
            "metric_columns",
            "loss_parts",
            "batches",
            "loss",
            "fixed_loss",
            "validate",
            "validation_cases",
            "step_size",
            "close",
        )
    }


def test_a_result_is_a_value() -> None:
    assert ValidationResult({"val_dice": 0.5}, 2, 0.1) == ValidationResult({"val_dice": 0.5}, 2, 0.1)
    assert ValidationResult({"val_dice": 0.5}, 2, 0.1) != ValidationResult({"val_dice": 0.6}, 2, 0.1)
