"""The verdict on real trainings whose fit is known beforehand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK as sitk

import goodfit
from goodfit.training.metrics_log import read_rows

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = {
    "plan.batch_size": 2,
    "plan.patch_size": [8, 16, 16],
    "machine.device": "cpu",
    "training.patience": 0,
    "training.validation_share": 1,
}


def write_riddle(root: Path, cases: int) -> Path:
    """Blocks of two classes in noise: one is a little brighter, the other cannot be seen, only learned by heart."""
    random = np.random.default_rng(0)
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    for case in range(cases):
        label = np.zeros((10, 24, 24), np.uint8)
        for value in (1, 2):
            for _ in range(3):
                z, y, x = random.integers(0, 6), random.integers(0, 16), random.integers(0, 16)
                label[z : z + 4, y : y + 7, x : x + 7] = value
        image = random.normal(100, 10, label.shape) + 12.0 * (label == 1)
        for kind, array, file in (
            ("imagesTr", image.astype(np.float32), f"c{case}_0000.nii.gz"),
            ("labelsTr", label, f"c{case}.nii.gz"),
        ):
            written = sitk.GetImageFromArray(array)
            written.SetSpacing((1.0, 1.0, 2.5))
            sitk.WriteImage(written, str(root / kind / file))
    labels = {"background": 0, "seen": 1, "unseen": 2}
    description = {"channel_names": {"0": "MRI"}, "labels": labels, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(description))
    return root


@pytest.mark.slow
def test_a_training_of_two_cases_is_called_overfitting(tmp_path: Path) -> None:
    data = write_riddle(tmp_path / "Dataset002_Riddle", cases=4)
    result = goodfit.train(
        data, run=tmp_path / "run", settings={**SETTINGS, "budget.epochs": 30, "budget.steps_per_epoch": 12}
    )
    assert len(json.loads(result.run.splits.read_text())["train"]) == 2
    rows = read_rows(result.run.metrics)
    assert rows[-1]["verdict"] == "overfitting"
    assert rows[len(rows) // 2]["verdict"] == "overfitting", "said while there is time to do something"
    assert result.report is not None
    assert "Overfitting</b> since epoch" in result.report.read_text(encoding="utf-8")


def test_a_training_that_is_cut_off_early_is_called_unfinished(boxes: Path, tmp_path: Path) -> None:
    result = goodfit.train(
        boxes, run=tmp_path / "run", settings={**SETTINGS, "budget.epochs": 9, "budget.steps_per_epoch": 3}
    )
    verdicts = [row["verdict"] for row in read_rows(result.run.metrics)]
    assert verdicts[:3] == ["too early"] * 3
    assert verdicts[-1] == "still improving"
    assert result.report is not None
    assert "Still improving</b> (stopped by the budget)" in result.report.read_text(encoding="utf-8")
