"""Scores as tables on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.cli.screen import console, show_table
from goodfit.tasks.segmentation.scores import OPTIMISTIC

if TYPE_CHECKING:
    from goodfit.tasks.segmentation.scores import Scores


def show_scores(scores: Scores) -> None:
    """Print a row per class, then the mean Dice, marked when the set chose the checkpoint."""
    header, *rows = scores.rows()
    show_table(scores.title, header, rows)
    mark = f" ({OPTIMISTIC})" if scores.optimistic else ""
    console.print(f"mean Dice {scores.mean_dice:.4f}{mark}", soft_wrap=True)
