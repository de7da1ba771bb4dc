"""Small pieces of the sentences that say why a value is what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def size(values: Sequence[float]) -> str:
    """Write edge lengths as ``40x56x40`` or ``36x50.5x35``."""
    return "x".join(f"{value:g}" for value in values)


def millimetres(spacing: Sequence[float]) -> str:
    """Write a spacing as ``1.25 x 0.8 x 0.8 mm``."""
    return " x ".join(f"{value:.4g}" for value in spacing) + " mm"


def count(value: float) -> str:
    """Write a large number with three digits and a unit: ``59.4 M``."""
    for scale, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= scale:
            return f"{value / scale:.3g}{unit}"
    return f"{value:.3g}"


def percent(share: float) -> str:
    """Write a share as ``13 %``, small ones as ``0.42 %``."""
    return f"{100 * share:.{0 if share >= 0.01 else 2}f} %"


def counted(number: int, noun: str) -> str:
    """Write ``1 patch`` or ``3 patches``, ``1 time`` or ``2 times``."""
    ending = "" if number == 1 else "es" if noun.endswith("h") else "s"
    return f"{number} {noun}{ending}"


def gigabytes(value: float) -> str:
    """Write bytes as ``8 GB`` (1 GB = 10^9 bytes)."""
    return f"{value / 1e9:.3g} GB"


def axis(index: int) -> str:
    """Name a file axis by its index in (z, y, x)."""
    return "zyx"[index]
