"""Scores of folds, their spread, and all cases together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from goodfit.tasks.segmentation.fold_scores import CROSS_VALIDATION, fold_rows, pool, spread_over_folds
from goodfit.tasks.segmentation.metrics import ClassMetrics
from goodfit.tasks.segmentation.scores import OPTIMISTIC, Scores, gather


def metrics(dice: float) -> ClassMetrics:
    """A case with this Dice; NaN: the class is nowhere in it."""
    volume = 0.0 if math.isnan(dice) else 2.0
    return ClassMetrics(
        dice=dice,
        iou=dice / 2,
        hd95=10 * dice,
        surface_dice=dice,
        reference_volume=volume,
        prediction_volume=volume,
        volume_difference=0.0,
    )


def fold(
    optimistic: bool = False, notes: tuple[str, ...] = (), unit: str = "mm", **cases: tuple[float, float]
) -> Scores:
    return gather(
        {case: {"organ": metrics(organ), "lesion": metrics(lesion)} for case, (organ, lesion) in cases.items()},
        ["organ", "lesion"],
        set_name="test",
        optimistic=optimistic,
        tolerance=1.0,
        distance_unit=unit,
        volume_unit="ml",
        spacing_known=unit == "mm",
        notes=notes,
    )


@pytest.fixture
def folds() -> dict[str, Scores]:
    return {"0": fold(a=(0.9, 0.5), b=(0.7, math.nan)), "1": fold(c=(0.6, 0.2)), "3": fold(d=(0.4, 0.8), e=(0.4, 0.4))}


def test_each_fold_counts_once_in_the_spread(folds: dict[str, Scores]) -> None:
    over_folds = spread_over_folds(folds)
    assert over_folds.folds == 3
    organ, lesion = [0.8, 0.6, 0.4], [0.5, 0.2, 0.6]
    for name, values in (("organ", organ), ("lesion", lesion)):
        statistic = over_folds.classes[name]["dice"]
        assert statistic.mean == pytest.approx(np.mean(values))
        assert statistic.std == pytest.approx(np.std(values))
        assert statistic.median == pytest.approx(np.median(values))
    assert over_folds.mean["dice"].mean == pytest.approx(np.mean([organ, lesion]))
    assert set(over_folds.mean) == {"dice", "iou", "hd95", "surface_dice"}
    assert over_folds.model_validate_json(over_folds.model_dump_json()) == over_folds


def test_a_fold_without_a_class_does_not_count_for_it(folds: dict[str, Scores]) -> None:
    folds["4"] = fold(f=(1.0, math.nan))
    assert spread_over_folds(folds).classes["lesion"]["dice"].mean == pytest.approx(np.mean([0.5, 0.2, 0.6]))
    alone = spread_over_folds({"4": folds["4"]})
    assert math.isnan(alone.classes["lesion"]["dice"].mean)
    assert '"mean":null' in alone.model_dump_json().replace("NaN", "null")


def test_no_folds_have_no_spread() -> None:
    nothing = spread_over_folds({})
    assert (nothing.folds, nothing.mean, nothing.classes) == (0, {}, {})


def test_each_case_counts_once_in_the_pool(folds: dict[str, Scores]) -> None:
    together = pool(folds)
    assert list(together.cases) == ["a", "b", "c", "d", "e"]
    assert together.set == CROSS_VALIDATION
    assert together.classes["organ"].dice.mean == pytest.approx(np.mean([0.9, 0.7, 0.6, 0.4, 0.4]))
    assert together.classes["lesion"].dice.mean == pytest.approx(np.mean([0.5, 0.2, 0.8, 0.4]))
    assert not together.optimistic


def test_a_case_of_two_folds_stands_there_twice() -> None:
    together = pool({"0": fold(a=(1.0, 1.0), b=(0.5, 0.5)), "1": fold(a=(0.0, 0.0))})
    assert list(together.cases) == ["a (fold 0)", "a (fold 1)", "b"]
    assert together.mean_dice == pytest.approx(0.5)


def test_one_optimistic_fold_marks_the_pool() -> None:
    together = pool({"0": fold(a=(1.0, 1.0)), "1": fold(optimistic=True, b=(1.0, 1.0))})
    assert together.optimistic
    assert OPTIMISTIC in together.title
    assert {line.split(",")[1] for line in together.to_csv().splitlines()[1:]} == {"true"}


def test_notes_are_said_once_and_units_that_differ_are_named() -> None:
    together = pool({"0": fold(notes=("few",), a=(1.0, 1.0)), "1": fold(notes=("few",), b=(1.0, 1.0))})
    assert together.notes == ["few"]
    mixed = pool({"0": fold(a=(1.0, 1.0)), "1": fold(unit="voxels", b=(1.0, 1.0))})
    assert "different units" in mixed.notes[0]
    assert not mixed.spacing_known


def test_the_table_has_a_row_for_each_fold_and_both_means(folds: dict[str, Scores]) -> None:
    header, *rows = fold_rows(folds)
    assert header == ["fold", "cases", "organ Dice", "lesion Dice", "mean Dice", "mean HD95 (mm)"]
    assert rows[0] == ["0", "2", "0.800", "0.500", "0.650", "6.50"]
    assert [row[0] for row in rows] == ["0", "1", "3", "mean over folds", "mean over cases"]
    organ, cases = [0.8, 0.6, 0.4], [0.9, 0.7, 0.6, 0.4, 0.4]
    assert rows[3][1:3] == ["", f"{np.mean(organ):.3f} ± {np.std(organ):.3f}"]
    assert rows[4][1:3] == ["5", f"{np.mean(cases):.3f} ± {np.std(cases):.3f}"]
    per_case = [0.7, 0.7, 0.4, 0.6, 0.4]
    assert rows[4][4] == f"{np.mean(per_case):.3f} ± {np.std(per_case):.3f}"
    assert rows[4][5] == f"{10 * np.mean(per_case):.2f} ± {10 * np.std(per_case):.2f}"


def test_many_classes_are_shown_as_their_mean(folds: dict[str, Scores]) -> None:
    assert fold_rows(folds, most_classes=1)[0] == ["fold", "cases", "mean Dice", "mean HD95 (mm)"]
    assert len(fold_rows(folds, most_classes=2)[0]) == 6
