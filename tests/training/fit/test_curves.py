from __future__ import annotations

import math

import pytest

from goodfit.training.fit.curves import WILD_START, Curves, Part


def rows(train=(), val=(), dice=(), **columns):
    columns = {"train_eval_loss": train, "val_loss": val, "val_dice": dice, **columns}
    length = max(len(values) for values in columns.values())
    filled = {name: [*values, *[""] * (length - len(values))] for name, values in columns.items()}
    return [
        {"epoch": at + 1, "step": 10 * (at + 1), "phase": "stable"}
        | {name: cells[at] for name, cells in filled.items()}
        for at in range(length)
    ]


def read(made, monitor="val_dice", larger_is_better=True):
    return Curves.from_rows(made, monitor, larger_is_better)


def test_text_cells_numbers_and_missing_cells():
    made = [
        {"epoch": "1", "step": "250", "phase": "warmup", "val_loss": "0.5", "val_dice": "", "train_eval_loss": "0.25"},
        {"epoch": 2, "step": 500, "phase": "cooldown", "val_loss": math.nan, "val_dice": 0.5},
        {"epoch": 3, "step": 750, "val_loss": "inf", "val_dice": "broken"},
    ]
    curves = read(made)
    assert (curves.epochs, curves.steps) == ((1, 2, 3), (250, 500, 750))
    assert curves.cooldown == (False, True, False)
    assert curves.train_loss[0] == 0.25
    assert [math.isnan(value) for value in curves.val_loss] == [False, True, True]
    assert [math.isnan(value) for value in curves.metric] == [True, False, True]
    assert curves.validations == 1


def test_running_training_loss_stands_in():
    curves = read(rows(train_loss=[3, 2, 1], val=[3, 2, 1]))
    assert curves.train_loss == (3, 2, 1)
    assert curves.like_validation is False
    assert read(rows(train=["", 2], train_loss=[3, 2])).like_validation is True


def test_rows_without_numbers_are_counted():
    assert read([{"val_loss": 1.0}, {"val_loss": 2.0}]).steps == (1, 2)
    assert read([]).validations == 0


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("val_dice", "Dice"),
        ("val_ap", "AP"),
        ("val_loss", "validation loss"),
        ("val_dice_liver", "Dice of liver"),
        ("other", "other"),
    ],
)
def test_metric_in_words(column, name):
    assert read([], column).name == name


def test_epoch_of_a_step_within_it():
    curves = read([{"epoch": 1, "step": 5}, {"epoch": 1, "step": 10}, {"epoch": 2, "step": 15}])
    assert [curves.epoch(step) for step in (5, 7, 11, 99)] == [1, 1, 2, 2]


def test_parts_know_the_cooldown_and_turn_the_metric():
    made = rows(train=[4, 3, 2, 1], val=[4, 3, 2, 1], dice=[0.1, 0.2, 0.3, 0.4])
    made[-1]["phase"] = "cooldown"
    whole, before = (Part.of(read(made), cooldown=cooldown, least=3) for cooldown in (True, False))
    assert whole.val is not None
    assert before.val is not None
    assert before.metric is not None
    assert (len(whole.val.values), len(before.val.values)) == (4, 3)
    assert before.metric.values == (-0.1, -0.2, -0.3)
    assert before.decides is before.metric
    assert Part.of(read(made), cooldown=False, least=4).decides.values == (4, 3, 2)
    assert Part.of(read(made, "val_loss", False), cooldown=True, least=1).metric is None


def test_scale_is_the_range_of_both_losses():
    part = Part.of(read(rows(train=[1, 0.5, 0, -0.5, -0.5, -0.5], val=[2, 1, 1, 1, 1, 1])), cooldown=True, least=1)
    assert part.scale.value == 2.5
    assert str(part.scale) == " (shares of 2.5, the losses' range since the start)"


def test_a_wild_start_does_not_set_the_scale():
    values = [5000, 400, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.4]
    part = Part.of(read(rows(train=values, val=values)), cooldown=True, least=1)
    assert part.train is not None
    calm = max(part.train.smooth[3:]) - min(part.train.smooth[3:])
    assert part.scale.value == pytest.approx(WILD_START * calm)
    assert "20 times" in str(part.scale)


def test_no_losses_no_scale():
    assert Part.of(read(rows(dice=[0.1, 0.2])), cooldown=True, least=1).scale.value == 0
