from __future__ import annotations

import numpy as np
import pytest

from goodfit.training.fit.curves import Curves, Part
from goodfit.training.fit.overfitting import excused, gain, has_learned, left_start, overfitting
from goodfit.training.fit.series import Series

COUNT = 40
TIME = np.arange(1, COUNT + 1) / COUNT
FALLING = 1.9 * np.exp(-5 * TIME) - 0.95
RISING = 0.8 - 0.7 * np.exp(-12 * TIME)


def look(train, val, dice, cooldown=0):
    rows = [
        {
            "epoch": at + 1,
            "step": 100 * (at + 1),
            "phase": "cooldown" if at >= COUNT - cooldown else "stable",
            "train_eval_loss": float(train[at]),
            "val_loss": float(val[at]),
            "val_dice": float(dice[at]),
        }
        for at in range(COUNT)
    ]
    curves = Curves.from_rows(rows, "val_dice", larger_is_better=True)
    whole, before = (Part.of(curves, cooldown=kept, least=4) for kept in (True, False))
    return overfitting(curves, whole, before), before


def valley(rise, start=0.3):
    return 1.5 * np.exp(-15 * TIME) - 0.6 + rise * np.clip(TIME - start, 0, None) / (1 - start)


def series(values):
    built = Series.of(tuple(range(1, len(values) + 1)), tuple(map(float, values)))
    assert built is not None
    return built


def test_rising_validation_loss_names_its_share_and_beginning():
    found, before = look(FALLING, valley(0.4), RISING)
    assert found is not None
    assert 900 < found.since < 1500
    # 0.4 of a range that goes from about 1 to -0.94
    assert 0.18 < found.worse < 0.28
    assert found.said.startswith(f"validation loss +{100 * found.worse:.0f} % over its best while training loss fell")
    assert excused(found, before) is False


@pytest.mark.parametrize("rise", [0.0, 0.03])
def test_small_rises_do_not_count(rise):
    train = 1.9 * np.exp(-9 * TIME) - 0.95
    assert look(train, valley(rise), RISING)[0] is None


def test_a_metric_that_went_on_rising_excuses():
    found, before = look(FALLING, valley(0.4), 0.9 - 0.8 * np.exp(-2 * TIME))
    assert found is not None
    assert excused(found, before) is True


def test_a_metric_that_gained_and_levelled_off_excuses_a_moderate_rise_only():
    dice = 0.9 - 0.8 * np.exp(-6 * TIME)
    for rise, expected in ((0.3, True), (1.2, False)):
        found, before = look(FALLING, valley(rise, 0.1), dice)
        assert found is not None
        assert excused(found, before) is expected


def test_a_rise_within_the_cooldown_must_be_twice_as_large():
    late = np.clip(TIME - 0.8, 0, None) / 0.2
    assert look(FALLING, valley(0) + 0.15 * late, RISING, cooldown=8)[0] is None
    found, _ = look(FALLING - 0.1 * late, valley(0) + 0.5 * late, RISING, cooldown=8)
    assert found is not None
    assert found.since >= 3000


def test_a_metric_that_falls_cannot_excuse():
    dice = RISING - 0.3 * np.clip(TIME - 0.4, 0, None) / 0.6
    found, before = look(FALLING, valley(0), dice)
    assert found is not None
    assert found.by_metric
    assert found.said.startswith("Dice fell by 0.2")
    assert excused(found, before) is False


def test_a_metric_that_falls_while_the_loss_still_falls_is_no_sign():
    dice = 0.01 * RISING - 0.005 * TIME
    assert look(FALLING, FALLING + 0.1, dice)[0] is None


def test_learning_by_heart():
    found, _ = look(FALLING, 1.5 * np.exp(-25 * TIME), RISING)
    assert found is not None
    assert "validation loss did not follow" in found.said
    # The same fall of the training loss within the cooldown says nothing.
    sharp = 1.9 * np.exp(-25 * TIME) - 0.4 - 0.55 * np.clip(TIME - 0.8, 0, None) / 0.2
    assert look(sharp, 1.5 * np.exp(-25 * TIME), RISING, cooldown=8)[0] is None


def test_floor_of_the_training_loss():
    """Nothing is left to learn by heart: the gap speaks."""
    found, _ = look(np.full(COUNT, -0.98), 0.2 + 0.4 * TIME, np.full(COUNT, 0.3))
    assert found is not None
    assert "below it" in found.said


def test_gain_needs_size_and_certainty():
    falling = series(np.linspace(1, 0, 50))
    assert gain(falling, 1.0) is not None
    assert gain(falling, 1000.0) is None
    assert gain(falling, 0.0) is None
    assert gain(series(np.linspace(0, 1, 50)), 1.0) is None
    noise = np.random.default_rng(0).normal(size=(200, 50))
    assert sum(gain(series(one), 1.0) is not None for one in noise) < 20


def test_leaving_the_start():
    assert left_start(series([1.0, 0.5, 0.4, 0.4, 0.4]))
    assert not left_start(series([0.5] * 9))
    assert not left_start(series([0.69314718, 0.69314724, 0.69314718, 0.69314712, 0.69314718]))
    noise = np.random.default_rng(0).normal(size=(200, 30))
    assert sum(left_start(series(one)) for one in noise) < 10


def test_a_metric_that_came_back_has_not_learned():
    assert has_learned(series([0.0, -0.2, -0.5, -0.7, -0.7, -0.7]))
    assert not has_learned(series([0.0, -0.2, -0.5, -0.7, -0.3, 0.0, 0.0, 0.0]))
