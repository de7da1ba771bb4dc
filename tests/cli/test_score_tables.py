"""Scores on the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from goodfit.cli.score_tables import show_scores
from goodfit.tasks.segmentation.metrics import ClassMetrics
from goodfit.tasks.segmentation.scores import OPTIMISTIC, Scores, gather

if TYPE_CHECKING:
    import io


def metrics(dice: float, iou: float) -> ClassMetrics:
    return ClassMetrics(
        dice=dice,
        iou=iou,
        hd95=1.5,
        surface_dice=0.75,
        reference_volume=2.0,
        prediction_volume=2.5,
        volume_difference=0.5,
    )


def scores(*, optimistic: bool = False) -> Scores:
    nothing = ClassMetrics(
        **dict.fromkeys(("dice", "iou", "hd95", "surface_dice"), math.nan),
        reference_volume=0,
        prediction_volume=0,
        volume_difference=0,
    )
    return gather(
        {
            "a": {"liver": metrics(0.8, 0.7), "lesion": metrics(0.5, 0.25)},
            "b": {"liver": metrics(0.9, 0.8), "lesion": nothing},
        },
        ["liver", "lesion"],
        set_name="test",
        optimistic=optimistic,
        tolerance=1.0,
        distance_unit="mm",
        volume_unit="ml",
        spacing_known=True,
    )


def test_every_class_and_the_mean_are_rows(terminal: io.StringIO) -> None:
    show_scores(scores())
    lines = terminal.getvalue().splitlines()
    assert lines[0].strip() == "test, 2 cases"
    cells = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:4]] for line in lines if "│" in line
    }
    assert cells["liver"] == ["2", "0.850 ± 0.050"]
    assert cells["lesion"] == ["1", "0.500 ± 0.000"]
    assert cells["mean"][1] == "0.675"
    assert lines[-1] == "mean Dice 0.6750"


def test_scores_of_the_set_that_chose_the_checkpoint_are_marked(terminal: io.StringIO) -> None:
    show_scores(scores(optimistic=True))
    lines = terminal.getvalue().splitlines()
    assert OPTIMISTIC in lines[0]
    assert lines[-1] == f"mean Dice 0.6750 ({OPTIMISTIC})"
