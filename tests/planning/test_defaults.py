"""How a plan trains unless told otherwise."""

from __future__ import annotations

import pytest

from goodfit.planning.defaults import default_budget, default_training


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_every_value_of_the_training_has_a_reason(optimizer: str) -> None:
    training = default_training(optimizer)  # type: ignore[arg-type]
    unexplained = training.model_dump().keys() - training.reasons.keys() - {"reasons", "optimizer", "precision", "seed"}
    assert not unexplained


def test_sgd_comes_with_nnunets_rate_and_decay() -> None:
    training = default_training("sgd")
    assert (training.learning_rate, training.weight_decay) == (1e-2, 3e-5)


def test_the_budget_is_nnunets() -> None:
    assert (default_budget().epochs, default_budget().steps_per_epoch) == (1000, 250)
