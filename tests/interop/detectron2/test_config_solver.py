from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.interop.detectron2.config_ledger import Ledger
from goodfit.interop.detectron2.config_solver import epoch_length, translate_solver


def _translate(values: dict[str, Any]) -> Ledger:
    ledger = Ledger("a.yaml", values)
    translate_solver(ledger)
    return ledger


@pytest.mark.parametrize(("steps", "length"), [(90_000, 250), (5_000, 250), (2_700, 270), (300, 300), (50, 50), (1, 1)])
def test_epochs_divide_the_steps_near_250(steps: int, length: int) -> None:
    assert epoch_length(steps) == length


@given(st.integers(1, 10**6))
def test_the_budget_has_at_least_the_steps(steps: int) -> None:
    settings = _translate({"SOLVER.MAX_ITER": steps}).settings
    planned = settings["budget.epochs"] * settings["budget.steps_per_epoch"]
    assert steps <= planned < steps + 250


def test_steps_and_warmup_become_shares() -> None:
    values = {"SOLVER.MAX_ITER": 90_000, "SOLVER.STEPS": [60_000, 80_000], "SOLVER.WARMUP_ITERS": 900}
    settings = _translate(values).settings
    assert settings["training.cooldown"] == 0.5
    assert settings["training.warmup"] == 0.01


@pytest.mark.parametrize("steps", [[], [0], [90_000], [100_000]])
def test_no_drop_before_the_end_is_no_cooldown(steps: list[int]) -> None:
    assert _translate({"SOLVER.MAX_ITER": 90_000, "SOLVER.STEPS": steps}).settings["training.cooldown"] == 0


def test_without_max_iter_detectrons_own_is_taken() -> None:
    settings = _translate({"SOLVER.STEPS": [30_000], "SOLVER.WARMUP_ITERS": 400}).settings
    assert settings["training.cooldown"] == pytest.approx(1 / 3, abs=1e-4)
    assert settings["training.warmup"] == 0.01
    assert "budget.epochs" not in settings


@pytest.mark.parametrize("key", ["SOLVER.BASE_LR", "SOLVER.MOMENTUM", "SOLVER.WEIGHT_DECAY"])
def test_numbers_made_for_sgd_ask_for_it(key: str) -> None:
    assert _translate({key: 0.01}).settings["training.optimizer"] == "sgd"


@pytest.mark.parametrize(("period", "words"), [(100, "100 steps"), (1, "1 step")])
def test_the_evaluation_period_is_in_steps(period: int, words: str) -> None:
    assert _translate({"TEST.EVAL_PERIOD": period}).settings == {"training.validate_every": words}


def test_a_period_of_zero_is_not_honoured() -> None:
    ledger = _translate({"TEST.EVAL_PERIOD": 0})
    assert ledger.settings == {}
    assert "decides when to stop" in ledger.ignored[0][2]


@pytest.mark.parametrize(
    ("values", "clip"),
    [
        ({"ENABLED": True, "CLIP_TYPE": "full_model", "CLIP_VALUE": 2.0, "NORM_TYPE": 2.0}, 2.0),
        ({"ENABLED": False, "CLIP_TYPE": "full_model", "CLIP_VALUE": 2.0}, None),
        ({"ENABLED": True, "CLIP_TYPE": "value", "CLIP_VALUE": 2.0}, None),
        ({"CLIP_VALUE": 2.0}, None),
    ],
)
def test_clipping_by_norm_is_honoured(values: dict[str, Any], clip: float | None) -> None:
    ledger = _translate({f"SOLVER.CLIP_GRADIENTS.{name}": value for name, value in values.items()})
    assert ledger.settings.get("training.gradient_clip") == clip
    assert ledger.open_keys() == []
