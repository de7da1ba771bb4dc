"""What is wrong with one case is said in one row each, with the file and the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from goodfit.data.dataset import open_dataset
from goodfit.data.inspection import Inspected, count_values, inspect_case

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.data.problems import Problem


def rewrite(file: Path, change: Callable[[Any], Any], **geometry: Any) -> None:
    """Change the voxels or the header of a file."""
    image = SimpleITK.ReadImage(str(file))
    new = SimpleITK.GetImageFromArray(change(SimpleITK.GetArrayFromImage(image)))
    new.SetSpacing(geometry.get("spacing", image.GetSpacing()))
    new.SetOrigin(geometry.get("origin", image.GetOrigin()))
    new.SetDirection(geometry.get("direction", image.GetDirection()))
    SimpleITK.WriteImage(new, str(file))


def same(array: Any) -> Any:
    return array


def inspect(root: Path) -> Inspected:
    dataset = open_dataset(root)
    return inspect_case(dataset.cases[0], dataset)


def only(result: Inspected) -> Problem:
    assert len(result.problems) == 1, result.problems
    return result.problems[0]


def test_good_case(make_dataset: Callable[..., Path]) -> None:
    result = inspect(make_dataset(1, channels=2))
    assert result.problems == []
    assert result.usable
    assert result.image is not None
    assert result.image.array.shape == (2, 6, 7, 8)
    assert sum(result.voxels.values()) == 6 * 7 * 8
    assert set(result.voxels) == {0, 1, 2}
    assert result.image_digest


@pytest.mark.parametrize(
    ("geometry", "named"),
    [
        ({"spacing": (1.0, 1.0, 2.1)}, "spacing"),
        ({"origin": (0.0, 5.0, 0.0)}, "origin"),
        ({"direction": (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)}, "direction"),
    ],
)
def test_geometry_mismatch(make_dataset: Callable[..., Path], geometry: Any, named: str) -> None:
    root = make_dataset(1, channels=2)
    rewrite(root / "labelsTr/case_000.nii.gz", same, **geometry)
    problem = only(inspect(root))
    assert problem.severity == "error"
    assert problem.file == "labelsTr/case_000.nii.gz"
    assert problem.what.startswith(f"differs from the image in {named}")
    rewrite(root / "labelsTr/case_000.nii.gz", same, spacing=(1, 1, 2), origin=(0, 0, 0), direction=np.eye(3).ravel())
    rewrite(root / "imagesTr/case_000_0001.nii.gz", same, **geometry)
    problem = only(inspect(root))
    assert problem.file == "imagesTr/case_000_0001.nii.gz"
    assert problem.what.startswith(f"differs from case_000_0000.nii.gz in {named}")


def test_shape_mismatch(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(1, channels=2)
    rewrite(root / "labelsTr/case_000.nii.gz", lambda array: array[1:])
    assert only(inspect(root)).what == "shape 5x7x8 differs from 6x7x8 of the image"
    rewrite(root / "imagesTr/case_000_0001.nii.gz", lambda array: array[:, 1:])
    problem = inspect(root).problems[0]
    assert problem.file == "imagesTr/case_000_0001.nii.gz"
    assert "shape 6x6x8 differs from 6x7x8 of case_000_0000.nii.gz" in problem.what
    assert problem.remedy.startswith("Resample the channels")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_image_with_no_numbers(make_dataset: Callable[..., Path], bad: float) -> None:
    root = make_dataset(1, channels=2)

    def spoil(array: Any) -> Any:
        array = array.astype(np.float32)
        array[2, 3, :2] = bad
        return array

    rewrite(root / "imagesTr/case_000_0001.nii.gz", spoil)
    problem = only(inspect(root))
    assert problem.what == "2 of 336 voxels are NaN or infinite"
    assert problem.file == "imagesTr/case_000_0001.nii.gz"
    assert problem.severity == "error"


def test_label_values(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(1)
    rewrite(root / "labelsTr/case_000.nii.gz", lambda array: np.where(array == 2, 7, array))
    result = inspect(root)
    assert not result.usable
    problem = only(result)
    assert problem.what == f"holds the value 7 ({result.voxels[7]} voxels); dataset.json knows 0, 1, 2"
    rewrite(root / "labelsTr/case_000.nii.gz", lambda array: array * 0.5)
    problem = only(inspect(root))
    assert "hold no integer" in problem.what
    assert "nearest neighbour" in problem.remedy


def test_empty_label_and_flat_image_are_warnings(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(1)
    rewrite(root / "labelsTr/case_000.nii.gz", lambda array: array * 0)
    rewrite(root / "imagesTr/case_000_0000.nii.gz", lambda array: array * 0 + 5)
    result = inspect(root)
    assert result.usable
    assert result.image_digest is None
    assert [(problem.severity, problem.what) for problem in result.problems] == [
        ("warning", "the image holds the value 5 throughout"),
        ("warning", "the label is empty: it holds no class"),
    ]


def test_ignore_label_alone_is_empty(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(1, description={"labels": {"background": 0, "organ": 1, "ignore": 2}})
    rewrite(root / "labelsTr/case_000.nii.gz", lambda array: np.where(array == 1, 0, array))
    assert "empty" in only(inspect(root)).what


def test_unreadable_files_are_all_named(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(1)
    for file in (root / "imagesTr/case_000_0000.nii.gz", root / "labelsTr/case_000.nii.gz"):
        file.write_bytes(file.read_bytes()[:-40])
    result = inspect(root)
    assert [(problem.file, problem.what) for problem in result.problems] == [
        ("imagesTr/case_000_0000.nii.gz", "the file is truncated"),
        ("labelsTr/case_000.nii.gz", "the file is truncated"),
    ]
    assert result.problems[0].remedy.startswith("Copy it anew")
    assert result.image is None
    assert result.label is None


def test_missing_channel_in_one_file(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(1, channels=2)
    (root / "imagesTr/case_000_0001.nii.gz").unlink()
    problem = only(inspect(root))
    assert problem.what == "holds 1 channel where 2 are expected"
    assert "CASE_0001" in problem.remedy


@given(hnp.arrays(st.sampled_from([np.int16, np.int32]), hnp.array_shapes(max_dims=3), elements=st.integers(-3, 900)))
def test_counts_are_those_of_unique(label: Any) -> None:
    values, counts = np.unique(label, return_counts=True)
    assert count_values(label) == dict(zip(values.tolist(), counts.tolist(), strict=True))
