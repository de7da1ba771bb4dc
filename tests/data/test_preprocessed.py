from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from goodfit.data.dataset import open_dataset
from goodfit.data.preprocessed import data_folders, is_preprocessed, preprocessed_cases
from goodfit.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "Dataset005_Made"
    for name in ("gt_segmentations", "nnUNetPlans_2d", "nnUNetPlans_3d_fullres"):
        (root / name).mkdir(parents=True)
    description = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "organ": 1}, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(description))
    for case in ("a", "b"):
        (root / "gt_segmentations" / f"{case}.nii.gz").touch()
        for name in ("nnUNetPlans_2d", "nnUNetPlans_3d_fullres"):
            for ending in (".b2nd", "_seg.b2nd", ".pkl"):
                (root / name / f"{case}{ending}").touch()
    return root


def test_a_preprocessed_folder_is_known_by_its_labels_and_lack_of_images(folder: Path) -> None:
    assert is_preprocessed(folder)
    assert [place.name for place in data_folders(folder)] == ["nnUNetPlans_2d", "nnUNetPlans_3d_fullres"]
    (folder / "imagesTr").mkdir()
    assert not is_preprocessed(folder)
    assert not is_preprocessed(folder / "nnUNetPlans_2d")


def test_its_cases_are_arrays_with_labels(folder: Path) -> None:
    dataset = open_dataset(folder)
    assert (dataset.layout, dataset.name, dataset.channels) == ("preprocessed", "Dataset005_Made", ("CT",))
    assert [case.name for case in dataset.cases] == ["a", "b"]
    assert [file.parent.name for file in dataset.case("a").images] == ["nnUNetPlans_2d", "nnUNetPlans_3d_fullres"]
    assert dataset.case("a").label == folder / "gt_segmentations" / "a.nii.gz"
    assert dataset.problems == ()


def test_a_case_may_be_called_seg(folder: Path) -> None:
    (folder / "nnUNetPlans_2d" / "c_seg.b2nd").touch()
    (folder / "gt_segmentations" / "c_seg.nii.gz").touch()
    assert [case.name for case in open_dataset(folder).cases] == ["a", "b", "c_seg"]


def test_groups_are_read_and_taken_from_names(folder: Path) -> None:
    assert open_dataset(folder, group_by="(.)").grouped
    (folder / "groups.json").write_text(json.dumps({"a": "p", "b": "p"}))
    assert open_dataset(folder).case("b").group == "p"


def test_a_case_without_label_file_is_a_problem(folder: Path) -> None:
    (folder / "gt_segmentations" / "b.nii.gz").unlink()
    found, problems = preprocessed_cases(folder)
    assert list(found) == ["a"]
    assert [(problem.case, problem.severity) for problem in problems] == [("b", "error")]
    assert "gt_segmentations" in problems[0].what


def test_arrays_of_an_old_release_are_refused_by_name(folder: Path) -> None:
    for file in folder.rglob("*.b2nd"):
        file.rename(file.with_suffix(".npz"))
    with pytest.raises(DatasetError, match=r"the arrays are \.npz.*nnUNetv2_preprocess"):
        open_dataset(folder)
    for file in folder.rglob("*.npz"):
        file.unlink()
    with pytest.raises(DatasetError, match=r"there are no preprocessed arrays \(\.b2nd\)"):
        open_dataset(folder)
