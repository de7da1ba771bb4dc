"""Dataset folders in their layouts, made and real."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK

from goodfit.data.dataset import content_key, open_dataset
from goodfit.data.readers import read_image, read_label
from goodfit.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

REAL = {
    "Dataset004_Hippocampus": (200, 1, 2, 200),
    "Dataset027_ACDC": (30, 1, 3, 15),
    "Dataset082_BRATS6": (4, 2, 4, 4),
    "Dataset101_CHASE": (18, 3, 1, 9),
    "Dataset110_WBC1": (300, 3, 2, 300),
    "Dataset301_MouseBrainFVB": (5, 1, 20, 5),
    "Dataset401_CTfixture": (2, 1, 5, 2),
}


@pytest.mark.parametrize("name", REAL)
def test_real_datasets(shared_data: Callable[[str], Path], name: str) -> None:
    cases, channels, classes, groups = REAL[name]
    dataset = open_dataset(shared_data(name))
    assert dataset.problems == ()
    assert len(dataset.cases) == cases
    assert len(dataset.channels) == channels
    assert len(dataset.labels.classes) == classes
    assert len({case.group for case in dataset.cases}) == groups
    assert dataset.grouped == (groups < cases)
    case = dataset.cases[0]
    image = read_image(case.images, channels)
    assert case.label is not None
    label, geometry = read_label(case.label)
    assert image.array.shape == (channels, *label.shape)
    assert geometry == image.geometry


def test_nnunet_layout(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(3, channels=2, tests=2)
    dataset = open_dataset(root)
    assert dataset.layout == "nnunet"
    assert dataset.name == root.name
    assert [case.name for case in dataset.cases] == ["case_000", "case_001", "case_002"]
    assert [file.name for file in dataset.cases[1].images] == ["case_001_0000.nii.gz", "case_001_0001.nii.gz"]
    assert dataset.cases[1].label == root / "labelsTr" / "case_001.nii.gz"
    assert dataset.cases[1].group == "case_001"
    assert not dataset.grouped
    # The test images have one channel file each, where two are named: found when they are read.
    assert [case.name for case in dataset.test_cases] == ["test_000", "test_001"]
    assert dataset.case("test_001").label == root / "labelsTs" / "test_001.nii.gz"
    with pytest.raises(DatasetError, match="no case 'x'"):
        dataset.case("x")


def test_test_images_without_labels(make_dataset: Callable[..., Path]) -> None:
    dataset = open_dataset(make_dataset(3, tests=2, test_labels=False))
    assert [case.label for case in dataset.test_cases] == [None, None]
    assert dataset.problems == ()


def test_file_ending_is_inferred(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(2, ending=".mha")
    description = json.loads((root / "dataset.json").read_text())
    del description["file_ending"]
    (root / "dataset.json").write_text(json.dumps(description))
    assert open_dataset(root).file_ending == ".mha"


def test_explicit_paths(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(2)
    (root / "imagesTr").rename(root / "mine")
    files = {
        "b": {"images": ["mine/case_000_0000.nii.gz"], "label": "labelsTr/case_000.nii.gz"},
        "a": {"images": ["./mine/case_001_0000.nii.gz"], "label": str(root / "labelsTr/case_001.nii.gz")},
    }
    content = json.loads((root / "dataset.json").read_text()) | {"dataset": files}
    (root / "dataset.json").write_text(json.dumps(content))
    dataset = open_dataset(root)
    assert [case.name for case in dataset.cases] == ["a", "b"]
    assert dataset.cases[0].label == root / "labelsTr/case_001.nii.gz"


def test_groups_by_expression(make_dataset: Callable[..., Path]) -> None:
    dataset = open_dataset(make_dataset(["p1_a", "p1_b", "p2_a"]), group_by=r"^p\d")
    assert [case.group for case in dataset.cases] == ["p1", "p1", "p2"]
    assert dataset.grouped


def save(path: Path, array: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array, isVector=array.ndim == 3), str(path))


def test_plain_layout(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("img_0001", "img_0002", "img_0003"):
        save(tmp_path / "images" / f"{name}.jpg", rng.integers(0, 255, (8, 9, 3)).astype(np.uint8))
        save(tmp_path / "labels" / f"{name}.png", rng.choice([0, 128, 255], (8, 9)).astype(np.uint8))
    (tmp_path / "images" / ".DS_Store").touch()
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "plain"
    assert [case.name for case in dataset.cases] == ["img_0001", "img_0002", "img_0003"]
    assert dataset.channels == ("R", "G", "B")
    assert dataset.labels.classes == {"128": (128,), "255": (255,)}
    assert dataset.file_ending == ".png"
    assert dataset.test_cases == ()


def test_missing_files_are_problems_and_their_cases_are_left_out(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(4)
    (root / "labelsTr/case_001.nii.gz").unlink()
    (root / "imagesTr/case_002_0000.nii.gz").unlink()
    dataset = open_dataset(root)
    assert [case.name for case in dataset.cases] == ["case_000", "case_003"]
    assert [problem.case for problem in dataset.problems] == ["case_001", "case_002"]


def test_name_in_both_sets_is_a_problem(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(["test_000", "b", "c"], tests=2)
    dataset = open_dataset(root)
    assert [case.name for case in dataset.test_cases] == ["test_001"]
    assert [problem.case for problem in dataset.problems] == ["test_000"]


def test_folders_that_are_no_dataset(tmp_path: Path, make_dataset: Callable[..., Path]) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        open_dataset(tmp_path / "gone")
    (tmp_path / "other").mkdir()
    with pytest.raises(DatasetError, match=r"no dataset folder.*dataset\.json.*imagesTr.*images/"):
        open_dataset(tmp_path / "other")
    root = make_dataset(2, description={"file_ending": ".mha"})
    with pytest.raises(DatasetError, match=r"no image files ending in \.mha.*holds files ending in \.nii\.gz"):
        open_dataset(root)
    (root / "labelsTr").rename(root / "elsewhere")
    with pytest.raises(DatasetError, match="folder labelsTr is not"):
        open_dataset(root)


def test_content_key_follows_the_files_and_the_classes(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(3, tests=1, test_labels=False)
    key = content_key(open_dataset(root))
    assert len(key) == 16
    assert content_key(open_dataset(root)) == key
    (root / "imagesTs/test_000_0000.nii.gz").unlink()
    (root / "groups.json").write_text('{"case_000": 1, "case_001": 1, "case_002": 2}')
    assert content_key(open_dataset(root)) == key
    label = root / "labelsTr/case_000.nii.gz"
    os.utime(label, ns=(1, 1))
    assert content_key(open_dataset(shutil.copytree(root, root.with_name("copy")))) == key
    content = bytearray(label.read_bytes())
    content[-1] ^= 1
    label.write_bytes(content)
    touched = content_key(open_dataset(root))
    assert touched != key
    labels = {"background": 0, "organ": 2, "lesion": 1}
    description = json.loads((root / "dataset.json").read_text()) | {"labels": labels}
    (root / "dataset.json").write_text(json.dumps(description))
    assert content_key(open_dataset(root)) != touched
    opened = open_dataset(root)
    label.unlink()
    with pytest.raises(DatasetError, match=r"case_000\.nii\.gz: cannot be read"):
        content_key(opened)
