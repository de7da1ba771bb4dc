"""The page of a cross-validation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from goodfit.reporting.cross_validation import FoldLink, write_cross_report
from goodfit.reporting.fold_tables import segmentation_tables
from goodfit.tasks.segmentation.fold_scores import pool
from goodfit.tasks.segmentation.metrics import ClassMetrics
from goodfit.tasks.segmentation.scores import OPTIMISTIC, Scores, gather

if TYPE_CHECKING:
    from pathlib import Path


def fold(case: str, dice: float, *, optimistic: bool = False) -> Scores:
    metrics = ClassMetrics(
        dice=dice,
        iou=dice,
        hd95=2.0,
        surface_dice=dice,
        reference_volume=1.0,
        prediction_volume=1.0,
        volume_difference=0.0,
    )
    return gather(
        {case: {"left <lobe>": metrics, "right": metrics}},
        ["left <lobe>", "right"],
        set_name="test",
        optimistic=optimistic,
        tolerance=1.0,
        distance_unit="mm",
        volume_unit="ml",
        spacing_known=True,
    )


FOLDS = [
    FoldLink("0", "finished", (5, 1, 2), "fold_0/report.html"),
    FoldLink("1", "interrupted", (5, 1, 2), None),
]


def write(path: Path, scores: dict[str, Scores], **options: object) -> str:
    shown = segmentation_tables(scores, pool(scores) if scores else None)
    page = write_cross_report(path / "report.html", "Lobes", FOLDS, shown, folds_from="Made by hand", **options)
    assert page == path / "report.html"
    return page.read_text()


def test_folds_are_listed_with_links_to_their_pages(tmp_path: Path) -> None:
    text = write(tmp_path, {"0": fold("a", 0.9)}, warnings=["a case is never scored"])
    assert "1 of 2 folds is finished" in text
    assert re.findall(r'href="(?!data:)([^"]*)"', text) == ["fold_0/report.html"]
    assert "interrupted" in text
    assert "a case is never scored" in text
    assert "Made by hand." in text


def test_fold_and_class_scores_are_in_the_tables(tmp_path: Path) -> None:
    text = write(tmp_path, {"0": fold("a", 0.9), "1": fold("b", 0.5)})
    assert '<th scope="col">left &lt;lobe&gt; Dice</th>' in text
    assert '<th scope="row">mean over folds</th>' in text
    assert text.count("<td>0.700 ± 0.200</td>") >= 6
    assert "optimistic" not in text


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    text = write(tmp_path, {"0": fold("a", 0.9)})
    assert not re.search(r"https?://|src=|@import|url\(", text)


def test_optimistic_scores_are_marked_at_each_table(tmp_path: Path) -> None:
    text = write(tmp_path, {"0": fold("a", 0.9), "1": fold("b", 0.5, optimistic=True)})
    assert text.count(OPTIMISTIC) >= 3, "the first tile and both tables"
    assert "These scores are optimistic" in text


def test_a_page_without_scores_says_so(tmp_path: Path) -> None:
    text = write(tmp_path, {})
    assert "No fold is scored yet." in text
    assert "no fold is scored yet" in text


def test_the_folder_must_be_there_or_is_made(tmp_path: Path) -> None:
    page = write_cross_report(
        tmp_path / "new" / "report.html", "Lobes", [], segmentation_tables({}, None), folds_from="x."
    )
    assert "0 of 0 folds are finished" in page.read_text()


@pytest.mark.parametrize("status", ["waiting", "training"])
def test_only_finished_folds_are_counted(tmp_path: Path, status: str) -> None:
    fold = FoldLink("0", status, (1, 1, 1), None)
    page = write_cross_report(tmp_path / "r.html", "L", [fold], segmentation_tables({}, None), folds_from="x")
    assert "0 of 1 folds are finished" in page.read_text()
