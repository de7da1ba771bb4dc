from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodfit.training.fit.verdict import Curves, judge, short

BUDGET = "the budget of 50 epochs ends"
PLATEAU = "val_dice 0.8712 has not risen by 0.001 for 30 epochs (best 0.8721 at 113)"
KINDS = {"still improving", "good fit", "overfitting", "not learning", "too early"}
LENGTHS = (12, 20, 50, 200)
SEEDS = range(4)


def rows(train, val, dice, cooldown=0, train_column="train_eval_loss"):
    count = len(val)
    return [
        {
            "epoch": at + 1,
            "step": 250 * (at + 1),
            "phase": "cooldown" if at >= count - cooldown else "stable",
            train_column: float(train[at]),
            "val_loss": float(val[at]),
            "val_dice": float(dice[at]),
        }
        for at in range(count)
    ]


def said(made, finished=True, stopped_by=BUDGET, monitor="val_dice", larger_is_better=True):
    return judge(Curves.from_rows(made, monitor, larger_is_better), finished, stopped_by)


def approach(count, pace, start, end):
    """From start to end, most of the way in ``pace`` of the training."""
    time = np.arange(1, count + 1) / count
    return end + (start - end) * np.exp(-time / pace)


def late(count, share):
    """0, then from 0 to 1 over the last ``share`` of the training."""
    time = np.arange(1, count + 1) / count
    return np.clip((time - (1 - share)) / share, 0, None)


class Noise:
    def __init__(self, seed, count):
        self.random, self.count = np.random.default_rng(seed), count

    def __call__(self, deviation):
        return self.random.normal(0, deviation, self.count)


@pytest.fixture(params=SEEDS)
def seed(request):
    return request.param


@pytest.fixture(params=LENGTHS)
def count(request):
    return request.param


def test_settled_curves_are_a_good_fit(count, seed):
    noise = Noise(seed, count)
    train = approach(count, 0.08, 0.9, -0.85) + noise(0.005)
    val = approach(count, 0.08, 0.9, -0.8) + noise(0.01)
    dice = approach(count, 0.08, 0.1, 0.85) + noise(0.002)
    verdict = said(rows(train, val, dice), stopped_by=PLATEAU)
    assert verdict.kind == "good fit"
    assert verdict.text.startswith("good fit: Dice has levelled off at 0.8")
    assert verdict.since_epoch is None


def test_a_run_cut_off_early_still_improves(count, seed):
    noise = Noise(seed, count)
    train = approach(count, 0.8, 0.9, -0.95) + noise(0.01)
    val = approach(count, 0.8, 0.9, -0.9) + noise(0.02)
    dice = approach(count, 0.8, 0.0, 0.9) + noise(0.01)
    verdict = said(rows(train, val, dice))
    assert verdict.kind == "still improving"
    assert verdict.text.startswith("still improving (stopped by the budget): Dice rose by 0.")
    assert said(rows(train, val, dice), finished=False).text.startswith("still improving: Dice rose by 0.")


def test_cut_off_before_the_losses_bend():
    """The smallest number of validations that is judged at all."""
    made = rows([1.1, 0.7, 0.4, 0.2], [1.0, 0.7, 0.5, 0.3], [0.05, 0.2, 0.35, 0.45])
    assert said(made).kind == "still improving"


def test_overfitting_names_epoch_and_shares(count, seed):
    noise = Noise(seed, count)
    train = approach(count, 0.2, 0.9, -0.97) + noise(0.005)
    val = approach(count, 0.07, 0.9, -0.6) + 0.5 * late(count, 0.7) + noise(0.01)
    dice = approach(count, 0.07, 0.1, 0.7) + noise(0.002)
    verdict = said(rows(train, val, dice))
    assert verdict.kind == "overfitting"
    assert verdict.since_epoch is not None
    assert 0.15 * count <= verdict.since_epoch <= 0.6 * count
    found = re.match(
        r"overfitting since epoch (\d+): validation loss \+(\d+) % over its best while training loss fell (\d+) % "
        r"\(shares of ([\d.]+), the losses' range since the start\); Dice stands at 0\.\d+ \(best 0\.\d+\)$",
        verdict.text,
    )
    assert found is not None
    epoch, rise, fall, scale = int(found[1]), int(found[2]) / 100, int(found[3]) / 100, float(found[4])
    assert epoch == verdict.since_epoch
    assert scale * rise == pytest.approx(val[-1] - val.min(), abs=0.12)
    assert scale * fall == pytest.approx(train[epoch - 1] - train[-1], abs=0.12)


def test_a_tiny_training_set_is_overfitting(count, seed):
    """Learned by heart in no time; validation gets worse from the first epochs on, and Dice with it or not."""
    noise = Noise(seed, count)
    train = approach(count, 0.05, 0.5, -0.99) + noise(0.002)
    val = approach(count, 0.02, 0.9, -0.2) + 1.5 * late(count, 0.9) + noise(0.05)
    for lost in (0.0, 0.1):
        dice = approach(count, 0.04, 0.1, 0.5) - lost * late(count, 0.7) + noise(0.003)
        assert said(rows(train, val, dice)).kind == "overfitting"


def test_overfitting_without_a_fixed_training_sample(seed):
    noise = Noise(seed, 50)
    train = approach(50, 0.2, 0.9, -0.9) + noise(0.03)
    val = approach(50, 0.07, 0.9, -0.6) + 0.5 * late(50, 0.7) + noise(0.01)
    made = rows(train, val, approach(50, 0.07, 0.1, 0.7), train_column="train_loss")
    assert said(made).kind == "overfitting"


def test_few_noisy_validations_do_not_prove_that_nothing_moves(seed):
    """Taken from a real run that was cut off after 30 steps, before it learned."""
    made = rows(
        [0.18, 0.07, 0.1, 0.01, -0.04, 0.05], [0.2, 0.1, 0.14, 0.05, 0.01, 0.09], [0.36, 0.45, 0.35, 0.41, 0.47, 0.37]
    )
    assert said(made).kind == "too early"
    noise = Noise(seed, 12)
    assert said(rows(noise(0.1), noise(0.1), noise(0.1))).kind == "not learning"


@pytest.mark.parametrize("train_column", ["train_eval_loss", "train_loss"])
def test_overfitting_from_the_first_epoch(train_column):
    """Curves of a real network trained on two pictures: validation never got better."""
    train = [-0.43, -0.88, -0.96, -0.98, -0.99, -0.99, -0.99, -0.99, -1.0, -1.0]
    val = [0.19, 0.24, 0.33, 0.39, 0.44, 0.47, 0.5, 0.53, 0.55, 0.57]
    dice = [0.351, 0.337, 0.327, 0.324, 0.322, 0.323, 0.321, 0.319, 0.318, 0.318]
    verdict = said(rows(train, val, dice, train_column=train_column))
    assert (verdict.kind, verdict.since_epoch) == ("overfitting", 1)


def test_constant_curves_are_not_learning(count, seed):
    flat = np.ones(count)
    for made in (
        rows(0.7 * flat, 0.7 * flat, 0.1 * flat),
        rows(0.7 * flat, 0.7 * flat, 0 * flat),
        rows(*(0.3 * flat + Noise(seed, count)(0.02) for _ in range(2)), 0.2 * flat),
    ):
        verdict = said(made)
        assert verdict.kind == "not learning"
        assert "the losses are where they began" in verdict.text


def test_flat_curves_of_a_network_that_was_good_at_once():
    flat = np.ones(20)
    verdict = said(rows(-0.9 * flat, -0.88 * flat, 0.95 * flat))
    assert verdict.kind == "good fit"
    assert "reached before the first validation" in verdict.text


def test_background_everywhere_is_not_learning(count, seed):
    noise = Noise(seed, count)
    train, val = (approach(count, 0.05, 1.2, 0.2) + noise(0.001) for _ in range(2))
    verdict = said(rows(train, val, np.zeros(count)))
    assert verdict.kind == "not learning"
    assert "Dice stands at 0.000" in verdict.text


def test_a_dice_that_has_not_begun_to_rise_waits_for_the_loss(seed):
    noise = Noise(seed, 40)
    train, val = (approach(40, 0.7, 1.2, 0.0) + noise(0.005) for _ in range(2))
    verdict = said(rows(train, val, np.zeros(40)))
    assert verdict.kind == "still improving"
    assert "validation loss fell by" in verdict.text
    assert "no better than at the first validation" in verdict.text


def test_a_lost_fit_is_not_learning(count, seed):
    noise = Noise(seed, count)
    kept = 1 - np.clip(4 * late(count, 0.4), 0, 1)
    train, val = (approach(count, 0.1, 0.9, -0.85) * kept + 1.1 * (1 - kept) + noise(0.01) for _ in range(2))
    verdict = said(rows(train, val, approach(count, 0.1, 0.1, 0.85) * kept))
    assert verdict.kind == "not learning"
    assert verdict.since_epoch is not None
    assert abs(verdict.since_epoch - 0.6 * count) <= 0.1 * count
    assert "the fit was lost" in verdict.text


@pytest.mark.parametrize("made", range(4))
def test_too_few_validations(made):
    verdict = said(rows(*[np.linspace(1, 0, made)] * 3), finished=False)
    assert verdict.kind == "too early"
    assert f"{made} validation" in verdict.text
    assert "ended" in said(rows(*[np.linspace(1, 0, made)] * 3)).text


class TestCooldown:
    def plateau(self, seed, count=60):
        noise = Noise(seed, count)
        return (
            approach(count, 0.07, 0.9, -0.7) + noise(0.005),
            approach(count, 0.07, 0.9, -0.65) + noise(0.01),
            approach(count, 0.07, 0.1, 0.8) + noise(0.002),
        )

    @pytest.mark.parametrize("change", [-0.1, 0.0, 0.06])
    def test_plateau_and_cooldown_are_a_good_fit(self, seed, change):
        train, val, dice = self.plateau(seed)
        ramp = np.sqrt(late(60, 1 / 6))
        made = rows(train - 0.3 * ramp, val + change * ramp, dice + 0.03 * ramp, cooldown=10)
        assert said(made, stopped_by=PLATEAU).kind == "good fit"

    def test_the_same_gain_without_a_cooldown_is_improvement(self, seed):
        train, val, dice = self.plateau(seed)
        ramp = late(60, 1 / 6)
        assert said(rows(train - 0.3 * ramp, val - 0.1 * ramp, dice + 0.03 * ramp)).kind == "still improving"

    def test_improvement_before_the_cooldown_counts(self, seed):
        count, noise = 60, Noise(seed, 60)
        ramp = np.sqrt(late(count, 1 / 6))
        train = approach(count, 0.7, 0.9, -0.9) - 0.2 * ramp + noise(0.005)
        val = approach(count, 0.7, 0.9, -0.85) - 0.1 * ramp + noise(0.01)
        dice = approach(count, 0.7, 0.1, 0.9) + 0.02 * ramp + noise(0.005)
        verdict = said(rows(train, val, dice, cooldown=10), stopped_by="the user asked to stop")
        assert verdict.kind == "still improving"
        assert "(stopped by the user)" in verdict.text
        assert verdict.text.endswith("over the last 9 epochs before the cooldown")

    def test_overfitting_outlives_the_cooldown(self, seed):
        count, noise = 60, Noise(seed, 60)
        ramp = np.sqrt(late(count, 1 / 6))
        train = approach(count, 0.2, 0.9, -0.95) - 0.02 * ramp + noise(0.005)
        val = approach(count, 0.07, 0.9, -0.6) + 0.5 * late(count, 0.7) - 0.05 * ramp + noise(0.01)
        dice = approach(count, 0.07, 0.1, 0.7) + 0.01 * ramp + noise(0.002)
        assert said(rows(train, val, dice, cooldown=10), stopped_by=PLATEAU).kind == "overfitting"

    def test_what_the_cooldown_heals_is_no_overfitting(self, seed):
        """The loss wandered off at the high learning rate and came back."""
        train, val, dice = self.plateau(seed)
        ramp = np.clip(3 * late(60, 1 / 6), 0, 1)
        wandered = val + 0.15 * late(60, 0.6) * (1 - ramp) - 0.05 * ramp
        made = rows(train - 0.1 * late(60, 0.6), wandered, dice, cooldown=10)
        assert said(made, stopped_by=PLATEAU).kind == "good fit"


class TestMetric:
    def made(self, seed, level_from, count=60):
        noise, time = Noise(seed, count), np.arange(1, count + 1) / count
        return rows(
            approach(count, 0.2, 0.9, -0.97) + noise(0.005),
            approach(count, 0.07, 0.9, -0.6) + 0.3 * late(count, 0.85) + noise(0.01),
            np.interp(time, [0, level_from, 1], [0.1, 0.9, 0.9]) + noise(0.002),
        )

    def test_dice_still_rises(self, seed):
        verdict = said(self.made(seed, 0.99))
        assert verdict.kind == "still improving"
        assert "although validation loss +" in verdict.text

    def test_dice_has_risen_and_stays(self, seed):
        verdict = said(self.made(seed, 0.55))
        assert verdict.kind == "good fit"
        assert verdict.text.startswith("good fit by Dice: ")
        assert "although validation loss +" in verdict.text

    def test_dice_stood_still(self, seed):
        assert said(self.made(seed, 0.2)).kind == "overfitting"

    def test_monitored_validation_loss_is_no_excuse_for_itself(self, seed):
        verdict = said(self.made(seed, 0.99), monitor="val_loss", larger_is_better=False)
        assert verdict.kind == "overfitting"
        assert "Dice" not in verdict.text

    def test_monitored_loss_that_falls(self, seed):
        noise = Noise(seed, 60)
        losses = [approach(60, 0.7, 0.9, -0.9) + noise(0.01) for _ in range(2)]
        verdict = said(rows(*losses, np.zeros(60)), monitor="val_loss", larger_is_better=False)
        assert verdict.text.startswith("still improving (stopped by the budget): validation loss fell by ")

    def test_metric_on_few_rows(self, seed):
        """Whole cases are validated every fifth epoch only."""
        made = self.made(seed, 0.2)
        for at, row in enumerate(made):
            if at % 5:
                row["val_dice"] = ""
        assert said(made).kind == "overfitting"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (BUDGET, "(stopped by the budget)"),
        (PLATEAU, "(stopped by patience)"),
        ("the time left is 12 s", "(stopped by the time)"),
        ("the user asked to stop", "(stopped by the user)"),
        ("hook Recorder: enough", "(stopped: hook Recorder: enough)"),
        (None, "improving: "),
    ],
)
def test_why_it_stopped(reason, words):
    made = rows(*[approach(20, 0.8, 1.0, 0.0)] * 2, approach(20, 0.8, 0.0, 1.0))
    assert words in said(made, stopped_by=reason).text


def test_rows_within_epochs():
    made = rows(*[approach(40, 0.8, 1.0, 0.0)] * 2, approach(40, 0.8, 0.0, 1.0))
    for at, row in enumerate(made):
        row |= {"epoch": at // 20 + 1, "step": 10 * (at + 1)}
    assert said(made).text.endswith("over the last 70 steps")


def test_short_is_the_kind():
    verdict = said([])
    assert short(verdict) == "too early"


CELLS = st.one_of(st.floats(), st.sampled_from(["", "nan", "inf", "x", "0.5"]), st.integers(-3, 3), st.none())
ANY_ROW = st.fixed_dictionaries(
    {},
    optional={
        "epoch": CELLS,
        "step": CELLS,
        "phase": st.sampled_from(["warmup", "stable", "cooldown", ""]),
        "train_loss": CELLS,
        "train_eval_loss": CELLS,
        "val_loss": CELLS,
        "val_dice": CELLS,
    },
)


@settings(max_examples=300)
@given(
    made=st.lists(ANY_ROW, max_size=25), finished=st.booleans(), monitor=st.sampled_from(["val_dice", "val_loss", "z"])
)
def test_anything_is_judged(made, finished, monitor):
    verdict = said(made, finished, BUDGET if finished else None, monitor, monitor != "val_loss")
    assert verdict.kind in KINDS
    assert verdict.text.startswith("too early" if verdict.kind == "too early" else verdict.kind)
    assert verdict.since_epoch is None or verdict.kind in {"overfitting", "not learning"}
    assert (verdict.kind == "overfitting") <= (verdict.since_epoch is not None)


LOSSES = st.lists(st.integers(-4096, 4096), min_size=24, max_size=24)


@settings(max_examples=200)
@given(
    train=LOSSES,
    val=LOSSES,
    dice=LOSSES,
    shift=st.integers(-64, 64),
    factor=st.sampled_from([1 / 64, 0.5, 1.0, 16.0]),
    cooldown=st.integers(0, 8),
    weight=st.integers(0, 3),
)
def test_shifted_and_scaled_losses_are_judged_alike(train, val, dice, shift, factor, cooldown, weight):
    """With exact arithmetic: random walks around falling curves, in multiples of 1/1024."""
    fall = np.round(4096 * approach(24, 0.2, 1.0, 0.0))
    train, val = ((weight * fall + values) / 1024 for values in (train, val))
    dice = np.asarray(dice) / 4096
    one = said(rows(train, val, dice, cooldown))
    other = said(rows(factor * (train + shift), factor * (val + shift), dice, cooldown))
    assert (one.kind, one.since_epoch) == (other.kind, other.since_epoch)


def test_a_spike_changes_nothing(seed):
    noise = Noise(seed, 50)
    train = approach(50, 0.08, 0.9, -0.85) + noise(0.005)
    val = approach(50, 0.08, 0.9, -0.8) + noise(0.01)
    dice = approach(50, 0.08, 0.1, 0.85) + noise(0.002)
    train[40] = val[40] = 30.0
    assert said(rows(train, val, dice)).kind == "good fit"
    val[33:36] = math.nan
    assert said(rows(train, val, dice)).kind == "good fit"
