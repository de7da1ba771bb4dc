"""Every problem of a broken dataset in one result; none for a good one."""

from __future__ import annotations

import json
import os
import shutil
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import SimpleITK

from goodfit.data.checks import CheckResult, check_dataset, check_key
from goodfit.data.dataset import Case, open_dataset
from goodfit.data.splits import make_split

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def check(root: Path, **options: Any) -> CheckResult:
    return check_dataset(open_dataset(root), **options)


@pytest.mark.parametrize(
    ("name", "errors", "warnings"),
    [
        ("Dataset027_ACDC", 0, 0),
        ("Dataset082_BRATS6", 0, 0),
        ("Dataset101_CHASE", 0, 0),
        ("Dataset301_MouseBrainFVB", 0, 0),
        ("Dataset401_CTfixture", 0, 5),
    ],
)
def test_real_datasets(shared_data: Callable[[str], Path], name: str, errors: int, warnings: int) -> None:
    result = check(shared_data(name))
    assert (len(result.errors), len(result.warnings)) == (errors, warnings), result.problems
    assert result.cases_checked == len(result.voxels)


def test_good_dataset(make_dataset: Callable[..., Path]) -> None:
    seen: list[tuple[int, int]] = []
    result = check(make_dataset(5, tests=1), on_progress=lambda done, total: seen.append((done, total)))
    assert result.problems == []
    assert result.ok
    assert result.cases_checked == 6
    assert seen == [(done, 6) for done in range(1, 7)]
    assert set(result.voxels["case_000"]) == {0, 1, 2}


def test_many_problems_at_once(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(8)
    broken = root / "imagesTr/case_000_0000.nii.gz"
    broken.write_bytes(broken.read_bytes()[:-30])
    (root / "imagesTr/case_001_0000.nii.gz").write_bytes(b"no image")
    (root / "labelsTr/case_002.nii.gz").unlink()
    label = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(root / "labelsTr/case_003.nii.gz")))
    label[label == 2] = 7
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(label), str(root / "labelsTr/case_003.nii.gz"))
    shutil.copy(root / "labelsTr/case_004.nii.gz", root / "labelsTr/extra.nii.gz")
    result = check(root)
    assert not result.ok
    told = {(problem.case, problem.what.split(" (")[0].split(";")[0]) for problem in result.errors}
    assert ("case_000", "the file is truncated") in told
    assert any(case == "case_001" for case, _ in told)
    assert ("case_002", "there is no label for this image") in told
    assert ("case_003", "holds the value 7") in told
    assert any(case == "case_003" and what.startswith("differs from the image in spacing") for case, what in told)
    assert ("extra", "there is no image for this label") in told
    assert all(problem.remedy and problem.file for problem in result.problems)
    severities = [problem.severity for problem in result.problems]
    assert severities == sorted(severities)


def test_identical_images(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(6, tests=1)
    shutil.copy(root / "imagesTr/case_000_0000.nii.gz", root / "imagesTr/case_004_0000.nii.gz")
    result = check(root)
    assert result.ok
    assert result.identical == [["case_000", "case_004"]]
    (problem,) = result.warnings
    assert (problem.case, problem.what) == ("case_004", "is the same image as case_000; their labels differ")
    shutil.copy(root / "labelsTr/case_000.nii.gz", root / "labelsTr/case_004.nii.gz")
    (problem,) = check(root).warnings
    assert problem.what == "is the same image as case_000"


def test_identical_images_across_sets_are_an_error(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(6, tests=1)
    dataset = open_dataset(root)
    split = make_split(dataset)
    train, validation = split.train[0], split.validation[0]
    shutil.copy(root / f"imagesTr/{train}_0000.nii.gz", root / f"imagesTr/{validation}_0000.nii.gz")
    (problem,) = check(root, split=split).errors
    assert "in train" in problem.what
    assert "in validation" in problem.what
    shutil.copy(root / f"imagesTr/{train}_0000.nii.gz", root / "imagesTs/test_000_0000.nii.gz")
    what = [problem.what for problem in check(root).errors]
    assert len(what) == 1
    assert "imagesTs" in what[0]


def test_same_image_in_another_number_type_is_found(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(4)
    image = SimpleITK.ReadImage(str(root / "imagesTr/case_000_0000.nii.gz"))
    SimpleITK.WriteImage(SimpleITK.Cast(image, SimpleITK.sitkFloat32), str(root / "imagesTr/case_001_0000.nii.gz"))
    assert check(root).identical == [["case_000", "case_001"]]


def test_class_in_few_groups(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(["p1_a", "p1_b", "p2_a", "p3_a"])
    assert check(root).problems == []
    (root / "groups.json").write_text(json.dumps(dict.fromkeys(("p1_a", "p1_b", "p2_a", "p3_a"), "p")))
    result = check(root)
    assert result.ok
    assert [problem.what.split(";")[0] for problem in result.warnings] == [
        "class 'organ' occurs in only 1 group (p)",
        "class 'lesion' occurs in only 1 group (p)",
    ]
    content = json.loads((root / "dataset.json").read_text())
    content["labels"]["absent"] = 3
    (root / "dataset.json").write_text(json.dumps(content))
    assert any("'absent' occurs in no case" in problem.what for problem in check(root).warnings)


def test_visitor_sees_each_good_labelled_case_once(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(5, tests=2)
    (root / "labelsTr/case_001.nii.gz").write_bytes(b"")
    lock, seen = threading.Lock(), []

    def visit(case: Case, image: Any, label: Any) -> None:
        assert image.array.shape[1:] == label.shape
        with lock:
            seen.append(case.name)

    check(root, visitor=visit, workers=2)
    assert sorted(seen) == ["case_000", "case_002", "case_003", "case_004"]


def test_visitor_error_ends_the_check(make_dataset: Callable[..., Path]) -> None:
    def visit(case: Case, image: Any, label: Any) -> None:
        raise KeyError(case.name)

    with pytest.raises(KeyError):
        check(make_dataset(3), visitor=visit)


def test_json_round_trip(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(3)
    shutil.copy(root / "imagesTr/case_000_0000.nii.gz", root / "imagesTr/case_001_0000.nii.gz")
    result = check(root)
    assert result.problems
    assert CheckResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_key_follows_what_the_check_depends_on(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(4, tests=1, test_labels=False)
    keys = [check_key(open_dataset(root))]
    for file in root.rglob("*.nii.gz"):
        os.utime(file, ns=(1, 1))
    assert check_key(open_dataset(shutil.copytree(root, root.with_name("copy")))) == keys[0]
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.ones((3, 3, 3))), str(root / "imagesTs/test_000_0000.nii.gz"))
    keys.append(check_key(open_dataset(root)))
    (root / "groups.json").write_text(json.dumps({f"case_{index:03d}": index // 2 for index in range(4)}))
    keys.append(check_key(open_dataset(root)))
    (root / "labelsTr/case_003.nii.gz").unlink()
    keys.append(check_key(open_dataset(root)))
    assert len(set(keys)) == len(keys)
