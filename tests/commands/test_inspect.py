"""Check and fingerprint in one reading, remembered."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK as sitk

from goodfit.commands.inspect import inspect
from goodfit.data.dataset import open_dataset
from goodfit.observer import Observer

if TYPE_CHECKING:
    from pathlib import Path


class Counting(Observer):
    """Counts the stages."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []

    def stage(self, name: str) -> None:
        self.stages.append(name)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = tmp_path / "Dataset001_Tiny"
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    random = np.random.default_rng(0)
    for case in range(3):
        image = random.normal(50, 5, (4, 6, 6)).astype(np.float32)
        label = np.zeros((4, 6, 6), np.uint8)
        label[1:3, 2:4, 2:4] = 1
        sitk.WriteImage(sitk.GetImageFromArray(image), str(root / "imagesTr" / f"c{case}_0000.nii.gz"))
        sitk.WriteImage(sitk.GetImageFromArray(label), str(root / "labelsTr" / f"c{case}.nii.gz"))
    description = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "a": 1}, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(description))
    return root


def test_files_are_read_once_while_they_stay_the_same(dataset: Path, tmp_path: Path) -> None:
    observer, cache = Counting(), tmp_path / "cache"
    result, fingerprint = inspect(open_dataset(dataset), cache, observer)
    assert result.ok
    assert fingerprint is not None
    assert fingerprint.class_voxels["c0"] == {1: 8}
    again, same = inspect(open_dataset(dataset), cache, observer)
    assert observer.stages == ["check and fingerprint"]
    assert "has not changed" in observer.notes[-1]
    assert same == fingerprint
    assert again.voxels == result.voxels
    copy = shutil.copytree(dataset, tmp_path / "elsewhere" / dataset.name, copy_function=shutil.copyfile)
    assert inspect(open_dataset(copy), cache, observer)[1] == fingerprint
    assert observer.stages == ["check and fingerprint"]


def test_a_changed_file_is_read_again(dataset: Path, tmp_path: Path) -> None:
    observer, cache = Counting(), tmp_path / "cache"
    inspect(open_dataset(dataset), cache, observer)
    label = dataset / "labelsTr" / "c1.nii.gz"
    sitk.WriteImage(sitk.ReadImage(str(label)) * 0, str(label))
    result, fingerprint = inspect(open_dataset(dataset), cache, observer)
    assert observer.stages == ["check and fingerprint"] * 2
    assert fingerprint is not None
    assert fingerprint.class_voxels["c1"] == {}
    assert any(problem.case == "c1" for problem in result.warnings)


def test_a_broken_dataset_has_no_fingerprint_and_is_not_remembered(dataset: Path, tmp_path: Path) -> None:
    (dataset / "imagesTr" / "c2_0000.nii.gz").write_bytes(b"broken")
    result, fingerprint = inspect(open_dataset(dataset), tmp_path / "cache", Counting())
    assert not result.ok
    assert fingerprint is None
    assert not (tmp_path / "cache" / "check.json").exists()
