"""Distances in steps or epochs."""

from __future__ import annotations

import pytest

from goodfit.planning.period import parse_period, steps_of


@pytest.mark.parametrize(
    ("text", "said", "steps"),
    [
        ("100 steps", "100 steps", 100),
        ("100steps", "100 steps", 100),
        (100, "100 steps", 100),
        ("1", "1 step", 1),
        ("2epochs", "2 epochs", 500),
        ("1 Epoch", "1 epoch", 250),
    ],
)
def test_periods_are_read_and_said(text: object, said: str, steps: int) -> None:
    assert parse_period(text) == said
    assert parse_period(said) == said
    assert steps_of(said, 250) == steps


@pytest.mark.parametrize("text", ["0", "0 epochs", "-1", "2.5 epochs", "often", "", "10m", None])
def test_nonsense_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is no period"):
        parse_period(text)
