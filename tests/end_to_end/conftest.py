"""A small generated dataset, and one short run on it that several tests look at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK as sitk

import goodfit

if TYPE_CHECKING:
    from pathlib import Path

    from goodfit.commands.fitting import TrainResult

QUICK = {
    "budget.epochs": 3,
    "budget.steps_per_epoch": 4,
    "plan.batch_size": 2,
    "plan.patch_size": [8, 16, 16],
    "machine.device": "cpu",
}


def write_dataset(root: Path, cases: int = 10, seed: int = 0) -> Path:
    """Two bright boxes of different brightness in noise; anisotropic; nnU-Net's raw layout."""
    random = np.random.default_rng(seed)
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    for case in range(cases):
        shape = (10, 20 + case % 3, 22)
        label = np.zeros(shape, np.uint8)
        z, y, x = 2 + case % 2, 4 + case % 4, 5
        label[z : z + 5, y : y + 8, x : x + 6] = 1
        label[z : z + 5, y : y + 8, x + 7 : x + 12] = 2
        array = random.normal(100, 10, shape) + 80.0 * (label == 1) + 160.0 * (label == 2)
        for kind, values, name in (
            ("imagesTr", array.astype(np.float32), f"case_{case:02d}_0000.nii.gz"),
            ("labelsTr", label, f"case_{case:02d}.nii.gz"),
        ):
            image = sitk.GetImageFromArray(values)
            image.SetSpacing((1.0, 1.0, 2.5))
            image.SetOrigin((3.0, -2.0, 7.0))
            sitk.WriteImage(image, str(root / kind / name))
    (root / "dataset.json").write_text(
        json.dumps(
            {
                "channel_names": {"0": "MRI"},
                "labels": {"background": 0, "left": 1, "right": 2},
                "numTraining": cases,
                "file_ending": ".nii.gz",
            }
        )
    )
    return root


@pytest.fixture(scope="session")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "Dataset001_Boxes")


@pytest.fixture(scope="session")
def finished(boxes: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return goodfit.train(boxes, run=tmp_path_factory.mktemp("runs") / "run", settings=QUICK)
