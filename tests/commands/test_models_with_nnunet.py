"""nnU-Net judges: exported and imported models predict what nnUNetv2_predict does, on real cases."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from goodfit.commands.export_model import export_model
from goodfit.commands.import_model import import_model
from goodfit.commands.plan import plan as make_plan
from goodfit.commands.predict import predict
from goodfit.commands.train import train
from goodfit.data.readers import read_label
from goodfit.planning.plan import load_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(importlib.util.find_spec("nnunetv2") is None, reason="nnunetv2, the judge, is not installed"),
]
PREDICT = "from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder as run; run()"
EQUAL_VOXELS, DICE_GAP = 0.999, 1e-3


def part_of(root: Path, folder: Path, cases: int) -> Path:
    """A dataset of the first cases of another one."""
    description = json.loads((root / "dataset.json").read_text())
    for kind in ("imagesTr", "labelsTr"):
        (folder / kind).mkdir(parents=True)
    for label in sorted((root / "labelsTr").glob("*.nii.gz"))[:cases]:
        shutil.copy(label, folder / "labelsTr")
        for image in (root / "imagesTr").glob(label.name.replace(".nii.gz", "_????.nii.gz")):
            shutil.copy(image, folder / "imagesTr")
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def trained(root: Path, folder: Path, steps: int, **wishes: object) -> Path:
    """A small network that has learnt enough to be sure of most voxels."""
    options = {"epochs": 2, "steps_per_epoch": steps // 2, "batch_size": 4, "precision": "float32", **wishes}
    plan = load_plan(make_plan(root, run=folder / "planned", **options).run.plan)
    network = plan.chosen.network
    network.features = [min(8 * 2**stage, 64) for stage in range(len(network.features))]
    return train(root, run=folder / "run", plan=plan, **options).run.path


def nnunet_predicts(model: Path, images: Path, output: Path, *words: str) -> None:
    folders = {f"nnUNet_{name}": str(output.parent / name) for name in ("raw", "preprocessed", "results")}
    command = [sys.executable, "-c", PREDICT, "-i", images, "-o", output, "-m", model, "-device", "cpu"]
    done = subprocess.run(
        [*map(str, command), "-npp", "1", "-nps", "1", *words],
        env={**os.environ, **folders, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def dice(found: np.ndarray, reference: np.ndarray, value: int) -> float:
    both = (found == value).sum() + (reference == value).sum()
    return 2 * float(((found == value) & (reference == value)).sum()) / both if both else 1.0


def require_alike(mine: Path, theirs: Path, labels: Path, classes: list[int]) -> None:
    """At least 99.9 % of the voxels of every case are equal, and each class's mean Dice to a thousandth."""
    scores: dict[int, list[tuple[float, float]]] = {value: [] for value in classes}
    files = sorted(theirs.glob("*.nii.gz"))
    assert files
    for file in files:
        one, other, reference = (read_label(folder / file.name)[0] for folder in (mine, theirs, labels))
        assert float(np.mean(one == other)) >= EQUAL_VOXELS, file.name
        for value in classes:
            scores[value].append((dice(one, reference, value), dice(other, reference, value)))
    for value in classes:
        ours, nnunets = np.mean(scores[value], axis=0)
        assert abs(ours - nnunets) <= DICE_GAP, f"class {value}: {ours} and {nnunets}"
    assert max(np.mean(scores[value], axis=0)[1] for value in classes) > 0.4, (
        "a network that finds nothing proves nothing"
    )


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(
    ("name", "cases", "predicted", "steps", "wishes"),
    [
        ("Dataset004_Hippocampus", 30, 10, 160, {}),
        ("Dataset027_ACDC", 8, 3, 160, {"configuration": "3d_fullres", "patch_size": "12x96x96", "batch_size": 2}),
        ("Dataset082_BRATS6", 4, 4, 160, {"configuration": "2d", "batch_size": 8}),
    ],
)
def test_predictions_equal_those_of_nnunet(
    shared_data: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    name: str,
    cases: int,
    predicted: int,
    steps: int,
    wishes: dict[str, object],
    mirror: bool,
) -> None:
    kept = tmp_path_factory.getbasetemp() / f"trained-{name}"
    if not kept.exists():
        root = part_of(shared_data(name), kept / name, cases)
        exported = export_model(trained(root, kept, steps, **wishes), "nnunet", output=kept / "exported")
        shutil.copytree(exported.path, kept / "model")
    root = part_of(shared_data(name), tmp_path / "some", predicted)
    words = ["-f", "0", *([] if mirror else ["--disable_tta"])]
    nnunet_predicts(kept / "model", root / "imagesTr", tmp_path / "theirs", *words)
    (imported,) = import_model(kept / "model", run=tmp_path / "imported")
    predict(imported.place, root / "imagesTr", tmp_path / "mine", tta=mirror)
    classes = [values[0] for values in imported.plan.data.classes.values()]
    require_alike(tmp_path / "mine", tmp_path / "theirs", root / "labelsTr", classes)


def test_folds_are_averaged_as_nnunet_does(nnunet_model: Callable[..., Path], root: Path, tmp_path: Path) -> None:
    model = nnunet_model(("0", "1"))
    nnunet_predicts(model, root / "imagesTr", tmp_path / "theirs", "-f", "0", "1", "--disable_tta")
    (imported,) = import_model(model, run=tmp_path / "imported")
    predict(imported.place, root / "imagesTr", tmp_path / "mine")
    equal = [
        (read_label(tmp_path / "mine" / file.name)[0] == read_label(file)[0]).mean()
        for file in (tmp_path / "theirs").glob("*.nii.gz")
    ]
    assert len(equal) == 5
    # Networks as they are drawn are unsure everywhere, and nnU-Net sums up in half precision.
    assert np.mean(equal) > 0.99
