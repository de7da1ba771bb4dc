from __future__ import annotations

import base64
import shutil
from dataclasses import replace

import pytest

from goodfit.reporting.content import read_content
from goodfit.reporting.overlays import choose_cases, draw_overlays


@pytest.fixture
def content(finished_run):
    return read_content(finished_run)


def test_best_median_worst(content):
    assert choose_cases(content.scores) == [("best", "case_1"), ("median", "case_3"), ("worst", "case_10")]


@pytest.mark.parametrize(("kept", "ranks"), [(2, ["best", "worst"]), (1, ["best"]), (0, [])])
def test_few_cases(content, kept, ranks):
    cases = dict(list(content.scores.cases.items())[:kept])
    few = content.scores.model_copy(update={"cases": cases})
    assert [rank for rank, _ in choose_cases(few)] == ranks


def test_pictures_are_embedded(content):
    overlays = draw_overlays(content)
    assert [overlay.problem for overlay in overlays] == ["", "", ""]
    assert overlays[0].dice == 1
    prefix, encoded = overlays[0].pictures[0].source.split(",")
    assert prefix == "data:image/png;base64"
    assert base64.b64decode(encoded).startswith(b"\x89PNG")


def test_what_cannot_be_read_is_said_per_case(content):
    (content.run.predictions / "case_3.nii.gz").unlink()
    overlays = draw_overlays(content)
    assert [bool(overlay.pictures) for overlay in overlays] == [True, False, True]
    assert "case_3.nii.gz" in overlays[1].problem


def test_dataset_that_has_gone(content):
    shutil.rmtree(content.record["dataset"])
    assert all("no such folder" in overlay.problem for overlay in draw_overlays(content))
    unnamed = replace(content, record={})
    assert all("does not name the dataset" in overlay.problem for overlay in draw_overlays(unnamed))


def test_nothing_without_scores(content):
    assert draw_overlays(replace(content, scores=None)) == []
