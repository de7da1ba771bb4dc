"""Scores of instances as tables on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.cli.screen import console, show_table
from goodfit.tasks.instances.scores import format_score

if TYPE_CHECKING:
    from goodfit.tasks.instances.scores import InstanceScores

_MOST_GROUPS = 40


def show_instance_scores(scores: InstanceScores) -> None:
    """Print COCO's numbers, a row per category and per group, and the AP, marked where it is optimistic."""
    for rows in (scores.coco_rows(), scores.rows()):
        show_table(scores.title, rows[0], rows[1:])
    header, *groups = scores.group_rows()
    if groups:
        show_table(f"{scores.title}, by group", header, groups[:_MOST_GROUPS])
        if len(groups) > _MOST_GROUPS:
            console.print(f"... and {len(groups) - _MOST_GROUPS} more groups, which scores.json lists")
    for note in scores.notes:
        console.print(note, markup=False, soft_wrap=True)
    mark = " (optimistic)" if scores.optimistic else ""
    kinds = ", ".join(f"{kind} AP {format_score(numbers.ap)}" for kind, numbers in scores.kinds.items())
    found = f"{scores.found} of {scores.instances} objects found, {scores.false} false"
    console.print(f"{kinds}{mark}; {found} (score at least {scores.confusion.score:g})", soft_wrap=True)
