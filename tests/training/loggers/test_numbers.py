"""The part of a row that a plotting tool takes."""

from __future__ import annotations

import math

from goodfit.training.loggers.numbers import NewNumbers, numbers_of


def test_finite_numbers_without_the_axes() -> None:
    row = {"epoch": 3, "step": 30, "phase": "stable", "lr": 0.5, "val_loss": math.nan, "n": 4, "worst": math.inf}
    assert numbers_of(row) == {"lr": 0.5, "n": 4.0}


def test_a_number_is_new_once_a_step() -> None:
    numbers = NewNumbers()
    assert numbers.of({"val_loss": 1.0}, 5) == {"val_loss": 1.0}
    assert numbers.of({"val_loss": 1.0, "train_loss": 2.0}, 5) == {"train_loss": 2.0}
    assert numbers.of({"val_loss": 1.0, "train_loss": 2.0}, 5) == {}
    assert numbers.of({"val_loss": 0.5}, 10) == {"val_loss": 0.5}
    assert numbers.of({"val_loss": 0.7}, 9) == {}, "a step that is done anew has been logged"


def test_a_number_that_was_not_defined_is_not_taken_as_logged() -> None:
    numbers = NewNumbers()
    assert numbers.of({"val_dice": math.nan}, 5) == {}
    assert numbers.of({"val_dice": 0.5}, 5) == {"val_dice": 0.5}
