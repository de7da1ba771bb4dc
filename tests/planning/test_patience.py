"""A patience that the user gives is a number of epochs and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from tests.planning.test_wishes import derived

from goodfit.planning.patience import patience_fields
from goodfit.planning.plan import Training
from goodfit.planning.wishes import apply_wishes
from goodfit.settings import build_settings


@pytest.mark.parametrize(("epochs", "patience"), [(30, 30), (1, 1), (0, None)])
def test_the_number_counts_alone_and_zero_is_off(epochs: int, patience: int | None) -> None:
    training = Training(**patience_fields(epochs))  # type: ignore[arg-type]
    assert (training.patience, training.patience_share) == (patience, 0.0)


@pytest.mark.parametrize(
    ("wishes", "patience", "share"),
    [
        ({}, 30, 0.25),
        ({"training.patience": 30}, 30, 0.0),
        ({"training.patience": "off"}, None, 0.0),
        ({"training.patience_share": 0.5}, 30, 0.5),
        ({"training.patience": 20, "training.patience_share": 0.5}, 20, 0.5),
    ],
)
def test_wishes_of_a_plan(wishes: dict[str, Any], patience: int | None, share: float) -> None:
    training = apply_wishes(derived(), build_settings(wishes), 200).training
    assert (training.patience, training.patience_share) == (patience, share)
    assert ("asked for" in training.reasons["patience_share"]) == bool(wishes)
