"""Training on nnU-Net's folders with goodfit, and on goodfit's with nnU-Net."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from goodfit.commands.cross_validate import cross_validate
from goodfit.commands.predict import predict
from goodfit.commands.preprocess import preprocess as preprocess_command
from goodfit.commands.train import train
from goodfit.data.readers import read_label
from goodfit.data.splits import Split
from goodfit.errors import DatasetError, SettingsError, SplitError
from goodfit.planning.plan import load_plan
from goodfit.reporting.content import read_content
from goodfit.reporting.overlays import draw_overlays
from goodfit.tasks.segmentation.scores import Scores

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SHORT = {
    "budget.epochs": 1,
    "budget.steps_per_epoch": 2,
    "machine.device": "cpu",
    "training.precision": "float32",
}


def split_of(folder: Path) -> Split:
    return Split.model_validate_json((folder / "splits.json").read_text())


def test_a_preprocessed_folder_is_trained_on_as_it_is(
    preprocess: Callable[..., Path], raw: Path, tmp_path: Path
) -> None:
    folder = preprocess()
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    hidden = raw.rename(tmp_path / "hidden")  # nothing of the raw dataset is needed
    result = train(folder, run=tmp_path / "run", settings=SHORT, fold=1)
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before
    assert not (tmp_path / "run" / "cache" / "preprocessed").exists()

    fold = json.loads((folder / "splits_final.json").read_text())[1]
    split = split_of(tmp_path / "run")
    assert (split.test, sorted([*split.train, *split.validation])) == (fold["val"], fold["train"])
    assert not split.optimistic
    assert "fold 1" in split.reasons["test"]

    assert isinstance(result.scores, Scores)
    assert set(result.scores.cases) == set(fold["val"])
    images = tmp_path / "images"
    images.mkdir()
    for name in fold["val"]:
        shutil.copy(hidden / "imagesTr" / f"{name}_0000.nii.gz", images)
    predict(tmp_path / "run", images, tmp_path / "from_images")
    for name in fold["val"]:
        arrays, geometry = read_label(tmp_path / "run" / "predictions" / f"{name}.nii.gz")
        expected, geometry_of_image = read_label(tmp_path / "from_images" / f"{name}.nii.gz")
        assert np.array_equal(arrays, expected)
        assert geometry == geometry_of_image
    overlays = draw_overlays(read_content(tmp_path / "run"))
    assert [overlay.problem for overlay in overlays if overlay.problem or not overlay.pictures] == []


def test_a_cascade_is_trained_on_a_preprocessed_folder(
    preprocess: Callable[..., Path], raw: Path, tmp_path: Path
) -> None:
    folder = preprocess(cascade=True)
    file = folder / "nnUNetPlans.json"
    plans = json.loads(file.read_text())
    stages = plans["configurations"]
    stages["my_lowres"] = stages.pop("3d_lowres")  # a plans file may call them what it likes
    stages["3d_cascade_fullres"]["previous_stage"] = "my_lowres"
    file.write_text(json.dumps(plans))
    hidden = raw.rename(tmp_path / "hidden")
    run = train(folder, run=tmp_path / "run", configuration="3d_cascade_fullres", settings=SHORT, fold=1).run.path
    assert not list(tmp_path.glob("run/**/cache/preprocessed"))
    first = load_plan(run / "previous_stage" / "plan.json")
    assert (first.configuration, first.chosen.spacing) == ("3d_lowres", [4.0, 2.0, 2.0])
    split = split_of(run)
    inputs = {path.stem for path in (run / "previous_stage" / "inputs").glob("*.b2nd")}
    assert inputs == {*split.train, *split.validation}
    (case,) = split.test
    image = hidden / "imagesTr" / f"{case}_0000.nii.gz"
    predict(run, image, tmp_path / "from_image")
    from_arrays, _ = read_label(run / "predictions" / f"{case}.nii.gz")
    assert np.array_equal(from_arrays, read_label(tmp_path / "from_image" / f"{case}.nii.gz")[0])


def test_a_cascade_without_the_arrays_of_its_first_stage_is_refused(
    preprocess: Callable[..., Path], tmp_path: Path
) -> None:
    folder = preprocess(cascade=True)
    shutil.rmtree(folder / "nnUNetPlans_3d_lowres")
    with pytest.raises(DatasetError, match="configuration 3d_lowres is not preprocessed"):
        train(folder, run=tmp_path / "run", configuration="3d_cascade_fullres", settings=SHORT)


def test_a_cascade_of_a_plans_file_is_trained_on_the_raw_dataset(
    preprocess: Callable[..., Path], raw: Path, tmp_path: Path
) -> None:
    plans = str(preprocess(cascade=True) / "nnUNetPlans.json")
    result = train(raw, run=tmp_path / "run", configuration="3d_cascade_fullres", settings=SHORT, plans=plans)
    assert result.finished
    assert load_plan(tmp_path / "run" / "previous_stage" / "plan.json").planner == "nnunet_file"


def test_fold_0_is_the_default_and_all_trains_on_every_case(preprocess: Callable[..., Path], tmp_path: Path) -> None:
    folder = preprocess()
    fold = json.loads((folder / "splits_final.json").read_text())[0]
    preprocess_command(folder, run=tmp_path / "zero", settings=SHORT)
    assert split_of(tmp_path / "zero").test == fold["val"]
    stores = preprocess_command(folder, run=tmp_path / "all", settings=SHORT, fold="all")
    assert len(split_of(tmp_path / "all").train) == 6
    assert stores == {"3d_fullres": folder / "nnUNetPlans_3d_fullres"}


def test_a_fold_that_is_not_there_is_refused(preprocess: Callable[..., Path], raw: Path, tmp_path: Path) -> None:
    for dataset in (preprocess(), raw):
        with pytest.raises(SplitError, match="there is no fold 7; there are 0 to 4"):
            preprocess_command(dataset, run=tmp_path / dataset.parent.name / "run", settings=SHORT, fold=7)


def test_other_configurations_of_a_preprocessed_folder_are_refused(
    preprocess: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="configuration 2d is not in the plan"):
        preprocess_command(preprocess(), run=tmp_path / "run", settings=SHORT, configurations=["2d"])


def test_a_raw_dataset_is_trained_with_nnunets_plans_and_fold(
    preprocess: Callable[..., Path], raw: Path, tmp_path: Path
) -> None:
    plans = preprocess(configuration={"batch_size": 3}) / "nnUNetPlans.json"
    train(raw, run=tmp_path / "run", settings=SHORT, plans=str(plans), fold=2, time="4s")
    plan = load_plan(tmp_path / "run" / "plan.json")
    assert plan.planner == "nnunet_file"
    assert (plan.chosen.batch_size, plan.chosen.network.features) == (3, [4, 8]), "the time changes nothing"
    assert len(split_of(tmp_path / "run").test) == 1


def test_the_folds_of_a_preprocessed_folder_are_cross_validated(
    preprocess: Callable[..., Path], tmp_path: Path
) -> None:
    folder = preprocess()
    result = cross_validate(folder, run=tmp_path / "cv", folds=[3], settings=SHORT)
    fold = json.loads((folder / "splits_final.json").read_text())[3]
    assert set(result.fold_scores["3"].cases) == set(fold["val"])


def nnunet(arguments: list[str | Path], folder: Path, places: Mapping[str, Path], loaders: int = 1) -> None:
    environment = {
        **os.environ,
        **{f"nnUNet_{name}": str(places.get(name, folder / name)) for name in ("raw", "preprocessed", "results")},
        "nnUNet_n_proc_DA": str(loaders),
        "nnUNet_def_n_proc": "1",
        "OMP_NUM_THREADS": "1",
    }
    for name in ("preprocessed", "results"):
        (folder / name).mkdir(exist_ok=True)
    done = subprocess.run(arguments, check=False, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def some_cases(source: Path, target: Path, count: int) -> Path:
    """Link the first cases of a dataset into one of its own."""
    for name in ("imagesTr", "labelsTr"):
        (target / name).mkdir(parents=True)
    description = json.loads((source / "dataset.json").read_text())
    for label in sorted((source / "labelsTr").iterdir())[:count]:
        (target / "labelsTr" / label.name).symlink_to(label)
        for image in (source / "imagesTr").glob(label.name.replace(".nii.gz", "_[0-9]*.nii.gz")):
            (target / "imagesTr" / image.name).symlink_to(image)
    description["numTraining"] = count
    (target / "dataset.json").write_text(json.dumps(description))
    return target


DATASETS = [("Dataset004_Hippocampus", "3d_fullres"), ("Dataset027_ACDC", "2d")]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "configuration"), DATASETS)
def test_nnunet_trains_on_what_goodfit_preprocessed(
    shared_data: Callable[[str], Path], tmp_path: Path, name: str, configuration: str
) -> None:
    pytest.importorskip("nnunetv2", reason="nnU-Net, the judge, is not installed")
    dataset = some_cases(shared_data(name), tmp_path / name, 6)
    (arrays,) = preprocess_command(
        dataset, run=tmp_path / "run", configuration=configuration, batch_size=2, settings=SHORT
    ).values()
    script = Path(__file__).with_name("train_with_nnunet.py")
    store = arrays.parent
    nnunet(
        [sys.executable, script, store.name, configuration, "0"], tmp_path, {"preprocessed": store.parent}, loaders=0
    )
    done = json.loads((tmp_path / "trained.json").read_text())
    fold = json.loads((store / "splits_final.json").read_text())[0]
    assert done["cases"] == sorted(f"{case}.nii.gz" for case in fold["val"])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "configuration"), DATASETS)
def test_goodfit_trains_on_what_nnunet_preprocessed(
    shared_data: Callable[[str], Path], tmp_path: Path, name: str, configuration: str
) -> None:
    pytest.importorskip("nnunetv2", reason="nnU-Net, the judge, is not installed")
    dataset = some_cases(shared_data(name), tmp_path / "raw" / name, 6)
    number = str(int(name[7:10]))
    command = Path(sys.executable).with_name("nnUNetv2_plan_and_preprocess")
    nnunet([command, "-d", number, "-c", configuration, "-np", "1", "-npfp", "1"], tmp_path, {})
    folder = tmp_path / "preprocessed" / name
    assert not (folder / "splits_final.json").exists()
    result = train(folder, run=tmp_path / "run", configuration=configuration, batch_size=2, settings=SHORT)
    assert isinstance(result.scores, Scores)
    split = split_of(tmp_path / "run")
    assert set(result.scores.cases) == set(split.test)
    assert "fold 0 of 5; nnU-Net's folds" in split.source
    images = tmp_path / "images"
    images.mkdir()
    for case in split.test:
        for image in (dataset / "imagesTr").glob(f"{case}_[0-9]*.nii.gz"):
            shutil.copy(image, images)
    predict(tmp_path / "run", images, tmp_path / "from_images")
    for case in split.test:
        arrays, geometry = read_label(tmp_path / "run" / "predictions" / f"{case}.nii.gz")
        expected, geometry_of_image = read_label(tmp_path / "from_images" / f"{case}.nii.gz")
        assert (arrays != expected).mean() < 1e-4
        assert geometry == geometry_of_image
