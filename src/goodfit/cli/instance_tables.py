"""Scores of instances as tables on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.cli.screen import console, show_table
from goodfit.files import read_json
from goodfit.tasks.instances.scores import format_score

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from goodfit.tasks.instances.scores import InstanceScores

_MOST_GROUPS = 40
_MOST_CATEGORIES = 4  # columns that a terminal has room for, beside the overall ones


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


def show_instance_folds(folds: Mapping[str, Any], together: InstanceScores) -> None:
    """Print the folds of a cross-validation side by side and all frames together, marked where they are optimistic.

    Args:
        folds: fold -> its ``InstanceScores``.
        together: the frames of all folds.
    """
    from goodfit.tasks.instances.fold_scores import fold_rows

    header, *rows = fold_rows(folds, together, _MOST_CATEGORIES)
    mark = ", optimistic" if together.optimistic else ""
    show_table(f"folds, mean ± standard deviation{mark}", header, rows)
    show_instance_scores(together)


def show_unusual(file: Path) -> None:
    """Print what a prediction has written of unusual frames: time ranges of a video, or images."""
    content = read_json(file)
    if content["unusual"]:
        said = f"{content['unusual']} of {content['looked_at']} are unusual"
    else:
        said = f"none of {content['looked_at']} is unusual"
    title = f"{content['source']}: {said} (distance above {content['unusual_from']:.2f})"
    if content.get("ranges"):
        header = ["from (s)", "to (s)", "frames", "unusual", "largest distance", "at (s)"]
        rows = [
            [
                f"{one['start']:.2f}",
                f"{one['end']:.2f}",
                f"{one['first_frame']} to {one['last_frame']}",
                str(one["frames"]),
                f"{one['largest_distance']:.2f}",
                f"{one['largest_at']:.2f}",
            ]
            for one in content["ranges"]
        ]
        show_table(title, header, rows)
    elif content.get("images"):
        rows = [[one["file_name"], f"{one['distance']:.2f}"] for one in content["images"]]
        show_table(title, ["image", "distance"], rows)
    else:
        console.print(title, markup=False, soft_wrap=True)
