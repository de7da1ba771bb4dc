"""A value and its reason."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from goodfit.planning.instances.decision import Decision


def test_a_decision_is_a_value_with_a_reason_and_stays_so() -> None:
    decision = Decision(4, "four fit")
    assert (decision.value, decision.reason) == (4, "four fit")
    assert decision == Decision(4, "four fit") != Decision(4, "five fit")
    with pytest.raises(FrozenInstanceError):
        decision.value = 5  # type: ignore[misc]
