"""Losses and gradients that are no numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class NotFiniteError(Exception):
    """The loss or its gradient is not finite."""

    def __init__(self, what: str) -> None:
        super().__init__(what)


def require_finite(step: int, loss: float, norm: float, cases: Sequence[str]) -> None:
    """Let a step pass whose loss and gradient are numbers.

    Args:
        step: for the message.
        loss: of its batch.
        norm: of the gradient.
        cases: of the batch, for the message.

    Raises:
        NotFiniteError: one is infinite or no number.
    """
    for what, value in (("loss", loss), ("gradient's norm", norm)):
        if not math.isfinite(value):
            raise NotFiniteError(f"step {step}: the {what} is {value:g} (cases {', '.join(cases)})")
