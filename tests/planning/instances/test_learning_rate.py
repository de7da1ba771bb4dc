from __future__ import annotations

import pytest

from goodfit.planning.instances.learning_rate import REFERENCE_RATE, choose_learning_rate


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_rate_is_in_proportion_to_the_batch(optimizer: str) -> None:
    name = "sgd" if optimizer == "sgd" else "adamw"
    rate, frames = REFERENCE_RATE[name]
    assert choose_learning_rate(name, frames).value == rate
    assert choose_learning_rate(name, 4).value == pytest.approx(2 * choose_learning_rate(name, 2).value)


def test_sgd_has_the_published_rate() -> None:
    decision = choose_learning_rate("sgd", 2)
    assert decision.value == 0.0025
    assert "Detectron2" in decision.reason
