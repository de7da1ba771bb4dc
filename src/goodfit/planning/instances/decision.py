"""A derived value together with the sentence that says why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True)
class Decision(Generic[Value]):
    """What a rule gives.

    Attributes:
        value: of one field of the plan.
        reason: one sentence, with the numbers it rests on.
    """

    value: Value
    reason: str
