"""Colours that read well on light and on dark ground, the same for a class in every plot and outline."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PALETTE = (
    "#e4793a",
    "#2f9e8f",
    "#9a6fd0",
    "#d94f70",
    "#7fa52f",
    "#d0a21c",
    "#3d8fd1",
    "#c067b8",
    "#a9714b",
    "#5f9f5f",
)
TRAINING = "#8a94a6"
VALIDATION = "#3d7fd9"
MARK = "#d94f70"
PHASES = {"warmup": "rgba(224,168,60,0.16)", "stable": "rgba(120,140,170,0.07)", "cooldown": "rgba(61,127,217,0.15)"}


def class_colours(names: Sequence[str]) -> dict[str, str]:
    """Give each class a colour; with more classes than colours they repeat."""
    return {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(names)}
