"""Small helps for messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def some(names: Sequence[str], most: int = 5) -> str:
    """List names, and only the number of those beyond ``most``."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: "1 case", "3 cases"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
