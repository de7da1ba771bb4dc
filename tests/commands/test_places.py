"""Which run folder a call works in."""

from __future__ import annotations

from pathlib import Path

import pytest

from goodfit.commands.places import cache_folder, choose_run, set_aside
from goodfit.data.dataset import Dataset
from goodfit.data.labels import Labels
from goodfit.errors import RunError
from goodfit.training.run_folder import RunFolder


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "data" / "Dataset001_Test"
    root.mkdir(parents=True)
    return Dataset(root, "a name / with a slash", ("CT",), Labels({"a": (1,)}), ".nii.gz", "nnunet", ())


def begun(dataset: Dataset, folder: Path, settings: dict[str, object]) -> Path:
    RunFolder(folder).update_record(dataset=str(dataset.root.resolve()), settings=settings)
    return folder


def test_a_first_call_makes_a_folder_named_by_dataset_and_time(dataset: Dataset) -> None:
    run = choose_run(dataset, None, {}, fresh=False)
    assert run.path.parent == Path("runs/Dataset001_Test")
    assert cache_folder(dataset, run.path) == Path("runs/Dataset001_Test/cache")


def test_the_same_settings_go_on_and_others_begin_anew(dataset: Dataset) -> None:
    first = begun(dataset, choose_run(dataset, None, {"budget.time": 60.0}, fresh=False).path, {"budget.time": 60.0})
    assert choose_run(dataset, None, {"budget.time": 60.0}, fresh=False).path == first
    assert choose_run(dataset, None, {"budget.time": 61.0}, fresh=False).path != first
    assert choose_run(dataset, None, {"budget.time": 60.0}, fresh=True).path != first


def test_a_chosen_folder_keeps_its_cache_inside(dataset: Dataset, tmp_path: Path) -> None:
    run = choose_run(dataset, tmp_path / "mine", {}, fresh=False)
    assert cache_folder(dataset, run.path) == tmp_path / "mine" / "cache"


def test_the_folds_of_a_cross_validation_share_its_cache(dataset: Dataset, tmp_path: Path) -> None:
    for folder, cache in (
        (tmp_path / "mine", tmp_path / "mine" / "cache"),
        (Path("runs/Dataset001_Test/cv-1"), Path("runs/Dataset001_Test/cache")),
    ):
        folder.mkdir(parents=True)
        (folder / "cross_validation.json").write_text("{}")
        assert cache_folder(dataset, folder) == cache
        assert cache_folder(dataset, folder / "fold_0") == cache


def test_the_first_stage_of_a_cascade_shares_its_cache(dataset: Dataset, tmp_path: Path) -> None:
    for folder, cache in (
        (tmp_path / "mine", tmp_path / "mine" / "cache"),
        (Path("runs/Dataset001_Test/one"), Path("runs/Dataset001_Test/cache")),
    ):
        begun(dataset, folder, {})
        stage = folder / "previous_stage"
        stage.mkdir()
        assert cache_folder(dataset, stage) == cache
        (stage / "cross_validation.json").write_text("{}")
        assert cache_folder(dataset, stage / "fold_0") == cache


def test_other_settings_for_a_chosen_folder_are_refused_by_name(dataset: Dataset, tmp_path: Path) -> None:
    begun(dataset, tmp_path / "mine", {"budget.epochs": 5})
    assert choose_run(dataset, tmp_path / "mine", {}, fresh=False).path == tmp_path / "mine"
    with pytest.raises(RunError, match=r"budget\.epochs=6 \(the run has 5\)"):
        choose_run(dataset, tmp_path / "mine", {"budget.epochs": 6}, fresh=False)


def test_fresh_leaves_the_old_run_until_the_new_plan_stands_and_then_moves_it_aside(
    dataset: Dataset, tmp_path: Path
) -> None:
    begun(dataset, tmp_path / "mine", {})
    (tmp_path / "mine" / "cache").mkdir()
    run = choose_run(dataset, tmp_path / "mine", {"budget.epochs": 6}, fresh=True)
    assert (tmp_path / "mine" / "run.json").is_file()
    aside = set_aside(run)
    assert aside is not None
    assert (aside / "run.json").is_file()
    assert [entry.name for entry in (tmp_path / "mine").iterdir()] == ["cache"]
    assert set_aside(run) is None


def test_a_folder_of_something_else_is_left_alone(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(RunError, match="not empty and is no run folder"):
        choose_run(dataset, tmp_path / "photos", {}, fresh=False)
    with pytest.raises(RunError, match="this is a file"):
        choose_run(dataset, tmp_path / "photos" / "cat.jpg", {}, fresh=False)


def test_what_a_failed_call_left_is_no_hindrance(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "mine" / "cache").mkdir(parents=True)
    (tmp_path / "mine" / ".lock").touch()
    assert choose_run(dataset, tmp_path / "mine", {"budget.epochs": 6}, fresh=False).path == tmp_path / "mine"


def test_machine_and_prediction_are_no_part_of_what_is_trained(dataset: Dataset, tmp_path: Path) -> None:
    begun(dataset, tmp_path / "mine", {"budget.epochs": 5, "machine.device": "cuda"})
    run = choose_run(dataset, tmp_path / "mine", {"machine.device": "cpu", "prediction.tta": True}, fresh=False)
    assert run.path == tmp_path / "mine"


def test_an_imported_model_is_no_run_to_train_in(dataset: Dataset, tmp_path: Path) -> None:
    RunFolder(tmp_path / "model").update_record(status="imported")
    with pytest.raises(RunError, match="holds an imported model"):
        choose_run(dataset, tmp_path / "model", {}, fresh=False)
