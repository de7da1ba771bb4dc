"""A small finished run, written by hand."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK

from goodfit.data.geometry import Geometry
from goodfit.data.readers import write_label
from goodfit.planning.plan import Plan, save_plan
from goodfit.tasks.segmentation.evaluation import evaluate_folders, save_scores

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHAPE = (12, 20, 16)
CASES = ("case_1", "case_2", "case_3", "case_4", "case_10")
GEOMETRY = Geometry((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), 3)

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def plan() -> Plan:
    network = {
        "architecture": "plain_unet",
        "features": [8, 16],
        "kernel_sizes": [[3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [2, 2, 2]],
        "encoder_blocks": [2, 2],
        "decoder_blocks": [2],
        "reasons": {"features": "a <small> network & no more"},
    }
    configuration = {
        "name": "3d_fullres",
        "spacing": [1, 1, 1],
        "median_shape": list(SHAPE),
        "patch_size": [12, 20, 16],
        "batch_size": 2,
        "batch_dice": False,
        "network": network,
        "reasons": {"spacing": "median spacing of the cases"},
    }
    statistics = dict.fromkeys(("mean", "median", "std", "minimum", "maximum"), 1.0)
    statistics |= {"percentile_00_5": 0.0, "percentile_99_5": 12345.6}
    data = {
        "name": "Blobs",
        "key": "0",
        "channels": ["MRI"],
        "file_ending": ".nii.gz",
        "classes": {"organ": [1], "lesion": [2]},
        "normalisation": ["zscore"],
        "use_mask": [False],
        "intensities": [statistics],
    }
    return Plan.model_validate(
        {
            "goodfit_version": "0.1.0",
            "memory": 8e9,
            "data": data,
            "configuration": "3d_fullres",
            "configurations": {"3d_fullres": configuration},
            "budget": {"epochs": 20, "steps_per_epoch": 50},
        }
    )


def label(shift: int) -> np.ndarray:
    array = np.zeros(SHAPE, dtype=np.int16)
    array[2:9, 3 + shift : 12 + shift, 3:10] = 1
    array[4:6, 5 + shift : 8 + shift, 5:8] = 2
    return array


def write_dataset(root: Path) -> None:
    description = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "organ": 1, "lesion": 2},
        "file_ending": ".nii.gz",
        "name": "Blobs",
    }
    (root / "imagesTr").mkdir(parents=True)
    (root / "dataset.json").write_text(json.dumps(description))
    for index, case in enumerate(CASES):
        noise = np.random.default_rng(index).normal(size=SHAPE) + 3.0 * label(0)
        SimpleITK.WriteImage(
            SimpleITK.GetImageFromArray(noise.astype(np.float32)), str(root / "imagesTr" / f"{case}_0000.nii.gz")
        )
        write_label(root / "labelsTr" / f"{case}.nii.gz", label(0), GEOMETRY)


def write_metrics(path: Path) -> None:
    rows = []
    for epoch in range(1, 11):
        phase = "warmup" if epoch == 1 else "stable" if epoch < 8 else "cooldown"
        row = {"epoch": epoch, "step": 50 * epoch, "phase": phase, "lr": 0.002, "train_loss": 1 / epoch}
        row |= {"val_loss": 1.1 / epoch, "val_dice": "" if epoch % 2 else 0.08 * epoch}
        row |= {
            "val_dice_organ": row["val_dice"],
            "val_dice_lesion": "",
            "seconds": 3.0,
            "elapsed_seconds": 3.0 * epoch,
        }
        rows.append(row)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


EVENTS = [
    {"epoch": 1, "step": 50, "phase": "stable", "reason": "epoch 1: warm-up finished"},
    {
        "epoch": 7,
        "step": 350,
        "phase": "cooldown",
        "reason": "epoch 7: the user asked to stop: cooldown of 150 steps begins",
    },
    {"epoch": 10, "step": 500, "phase": "done", "reason": "epoch 10: the cooldown is finished"},
]


@pytest.fixture
def finished_run(tmp_path: Path) -> Path:
    """A run folder with all its parts; the dataset lies beside it."""
    root, run = tmp_path / "Blobs", tmp_path / "run"
    run.mkdir()
    write_dataset(root)
    save_plan(plan(), run / "plan.json")
    split = {"seed": 7, "source": "by case", "train": ["t1", "t2"], "validation": ["v1"], "test": list(CASES)}
    (run / "splits.json").write_text(json.dumps({**split, "warnings": ["few cases"]}))
    write_metrics(run / "metrics.csv")
    (run / "events.json").write_text(json.dumps(EVENTS))
    for index, case in enumerate(CASES):
        write_label(run / "predictions" / f"{case}.nii.gz", label(index), GEOMETRY)
    save_scores(evaluate_folders(run / "predictions", root / "labelsTr", set_name="test"), run / "scores.json")
    record = {"dataset": str(root), "status": "finished", "environment": {"device": "cpu", "packages": {"torch": "2"}}}
    (run / "run.json").write_text(json.dumps(record))
    return run


@pytest.fixture(scope="session")
def chromium() -> Callable[[Path, Path], str]:
    """Give a function page -> DOM after the scripts have run; skip where no browser is installed."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium is installed")

    def dump(page: Path, profile: Path) -> str:
        quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
        command = [found, "--headless", "--no-sandbox", "--disable-gpu", *quiet, f"--user-data-dir={profile}"]
        command += ["--virtual-time-budget=10000", "--dump-dom", page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    return dump
