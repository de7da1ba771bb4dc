"""Losses and gradients that are no numbers."""

from __future__ import annotations

import math

import pytest

from goodfit.training.finite import NotFiniteError, require_finite


def test_numbers_pass() -> None:
    require_finite(3, -0.5, 1e30, ["a"])


@pytest.mark.parametrize(
    ("loss", "norm", "said"),
    [
        (math.nan, math.nan, r"step 3: the loss is nan \(cases a, b\)"),
        (-math.inf, 1.0, r"the loss is -inf"),
        (0.5, math.inf, r"the gradient's norm is inf"),
    ],
)
def test_what_is_no_number_is_named_with_its_cases(loss: float, norm: float, said: str) -> None:
    with pytest.raises(NotFiniteError, match=said):
        require_finite(3, loss, norm, ["a", "b"])
