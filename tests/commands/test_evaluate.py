"""Scores of folders, and of the test cases of a run."""

from __future__ import annotations

import dataclasses
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import SimpleITK as sitk

from goodfit.commands.evaluate import evaluate, score_run
from goodfit.data.dataset import Case
from goodfit.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.commands.plan import Prepared


def test_a_folder_agrees_with_itself(root: Path, tmp_path: Path, listener: Any) -> None:
    labels = root / "labelsTr"
    json_file, csv_file = tmp_path / "scores.json", tmp_path / "scores.csv"
    scores = evaluate(labels, labels, json_file=json_file, csv_file=csv_file, tolerance_mm=2, observer=listener)
    assert scores.mean_dice == 1
    assert scores.tolerance == 2
    assert list(scores.classes) == ["left", "right"]
    assert json.loads(json_file.read_text())["mean"]["dice"] == 1
    assert len(csv_file.read_text().splitlines()) == 1 + 5 * 2
    assert listener.stages == ["evaluate"]
    assert listener.progress[-1] == (5, 5)


def test_half_a_box_scores_two_thirds(root: Path, tmp_path: Path) -> None:
    for file in (root / "labelsTr").iterdir():
        label = sitk.ReadImage(str(file))
        array = sitk.GetArrayFromImage(label)
        array[:, 3:6, 8:12] = 0  # half of the second box
        halved = sitk.GetImageFromArray(array)
        halved.CopyInformation(label)
        (tmp_path / "predicted").mkdir(exist_ok=True)
        sitk.WriteImage(halved, str(tmp_path / "predicted" / file.name))
    scores = evaluate(tmp_path / "predicted", root / "labelsTr")
    assert scores.classes["left"].dice.mean == 1
    assert scores.classes["right"].dice.mean == pytest.approx(2 / 3)
    assert scores.mean_dice == pytest.approx(5 / 6)
    assert not list(tmp_path.glob("*.json"))


def test_a_missing_prediction_is_named_and_nothing_written(root: Path, tmp_path: Path) -> None:
    predicted = shutil.copytree(root / "labelsTr", tmp_path / "predicted")
    (predicted / "c3.nii.gz").unlink()
    with pytest.raises(DatasetError, match="c3"):
        evaluate(predicted, root / "labelsTr", json_file=tmp_path / "scores.json")
    assert not (tmp_path / "scores.json").exists()


def test_a_run_keeps_the_scores_of_its_test_cases(
    prepare_run: Callable[..., Prepared], root: Path, listener: Any
) -> None:
    prepared = prepare_run()
    run = prepared.run
    shutil.copytree(root / "labelsTr", run.predictions)
    split = prepared.split.model_copy(update={"test": ["c4", "c1"]})
    scores = score_run(prepared.dataset, split, run, prepared.plan.data.labels, listener)
    assert list(scores.cases) == ["c1", "c4"]
    assert (scores.set, scores.optimistic, scores.mean_dice) == ("test", False, 1)
    assert json.loads(run.scores.read_text())["set"] == "test"
    assert len(run.scores.with_suffix(".csv").read_text().splitlines()) == 5
    assert listener.stages == ["evaluate"]


def test_scores_of_the_set_that_decided_are_marked_wherever_they_are_written(
    prepare_run: Callable[..., Prepared], root: Path, listener: Any
) -> None:
    prepared = prepare_run()
    run = prepared.run
    shutil.copytree(root / "labelsTr", run.predictions)
    split = prepared.split.model_copy(
        update={"validation": ["c4"], "optimistic": True, "optimistic_reason": "the test set decided"}
    )
    scores = score_run(prepared.dataset, split, run, prepared.plan.data.labels, listener)
    assert scores.optimistic
    assert "Optimistic: the test set decided." in scores.notes
    assert json.loads(run.scores.read_text())["optimistic"] is True
    header, *rows = [line.split(",") for line in run.scores.with_suffix(".csv").read_text().splitlines()]
    assert {row[header.index("optimistic")] for row in rows} == {"true"}


def test_predictions_of_photos_are_found_as_png(
    prepare_run: Callable[..., Prepared], tmp_path: Path, listener: Any
) -> None:
    """A dataset of JPEG images has its labels predicted as PNG."""
    prepared = prepare_run()
    label = np.zeros((6, 8), np.uint8)
    label[1:4, 2:5] = 1
    for file in (tmp_path / "frame.png", prepared.run.predictions / "frame.png"):
        file.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(sitk.GetImageFromArray(label), str(file))
    case = Case("frame", (tmp_path / "frame.jpg",), tmp_path / "frame.png", "frame")
    photos = dataclasses.replace(prepared.dataset, file_ending=".jpg", cases=(case,))
    split = prepared.split.model_copy(update={"test": ["frame"]})
    assert score_run(photos, split, prepared.run, prepared.plan.data.labels, listener).mean_dice == 1
