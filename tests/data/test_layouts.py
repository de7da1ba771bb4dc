"""Files are matched to cases; what does not match is a problem that names the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.data.layouts import channel_gaps, group_images, listed_files, match_folders, relative

if TYPE_CHECKING:
    from pathlib import Path


def touch(root: Path, *names: str) -> list[Path]:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return [root / name for name in names]


def grouped(root: Path, *names: str, whole: frozenset[str] = frozenset()) -> dict[str, list[str]]:
    found = group_images(touch(root, *names), None, whole)
    return {case: [file.name for file in files] for case, files in found.items()}


def test_channels_are_sorted_by_number(tmp_path: Path) -> None:
    assert grouped(tmp_path, "b_0000.png", "a_0001.png", "a_0000.png") == {
        "a": ["a_0000.png", "a_0001.png"],
        "b": ["b_0000.png"],
    }


def test_numbers_that_are_part_of_the_name(tmp_path: Path) -> None:
    assert grouped(tmp_path, "scan_0001.png", "scan_0002.png") == {
        "scan_0001": ["scan_0001.png"],
        "scan_0002": ["scan_0002.png"],
    }
    names = frozenset({"scan_0000", "scan_0001"})
    assert grouped(tmp_path, "scan_0000.png", "scan_0001.png", whole=names) == {
        "scan_0000": ["scan_0000.png"],
        "scan_0001": ["scan_0001.png"],
    }
    assert grouped(tmp_path, "scan_0001_0000.png") == {"scan_0001": ["scan_0001_0000.png"]}


def test_channel_gaps(tmp_path: Path) -> None:
    a, b, c = touch(tmp_path, "x_0000.png", "x_0001.png", "x_0002.png")
    assert channel_gaps("x", [a, b, c], None, 3) is None
    assert channel_gaps("x", [a], None, 3) is None  # one file may hold all three
    assert channel_gaps("x", [a, c], None, 3) == "channel file _0001 is missing"
    assert channel_gaps("x", [a, b, c], None, 2) == "x_0002.png is a channel too many"
    assert channel_gaps("x", [a, c], None, None) == "channel file _0001 is missing; x_0002.png is a channel too many"
    assert "second file" in str(channel_gaps("x", [a, *touch(tmp_path, "x_0000.PNG"), b], None, 2))


def test_matching(tmp_path: Path) -> None:
    touch(
        tmp_path, *(f"imagesTr/{name}_0000.nii.gz" for name in "abc"), "imagesTr/.DS_Store", "imagesTr/._a_0000.nii.gz"
    )
    touch(tmp_path, *(f"labelsTr/{name}.nii.gz" for name in "abd"), "labelsTr/b.NII.GZ")
    found, problems = match_folders(tmp_path, "imagesTr", "labelsTr", ".nii.gz", 1)
    assert sorted(found) == ["a", "b"]
    assert found["a"].label == tmp_path / "labelsTr/a.nii.gz"
    by_case = {problem.case: problem for problem in problems}
    assert sorted(by_case) == ["b", "c", "d"]
    assert by_case["b"].what.startswith("second label file")
    assert by_case["c"].what == "there is no label for this image"
    assert by_case["c"].file == "imagesTr/c_0000.nii.gz"
    assert by_case["c"].remedy == "Add labelsTr/c.nii.gz, or remove the image."
    assert by_case["d"].what == "there is no image for this label"
    assert by_case["d"].file == "labelsTr/d.nii.gz"


def test_images_without_a_label_folder_are_no_problem(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTs/a_0000.png")
    found, problems = match_folders(tmp_path, "imagesTs", "labelsTs", ".png", 1)
    assert found["a"].label is None
    assert problems == []


def test_incomplete_channels_keep_a_case_out(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a_0001.png", "labelsTr/a.png")
    found, problems = match_folders(tmp_path, "imagesTr", "labelsTr", ".png", 2)
    assert found == {}
    assert [problem.what for problem in problems] == ["channel file _0000 is missing; a_0001.png is a channel too many"]


def test_listed_files(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.png", "x/a_mask.png", "x/b.png")
    files = {
        "a": (("x/a.png",), "x/a_mask.png"),
        "b": (("x/b.png",), "x/gone.png"),
        "c": (("x/b.png",), None),
    }
    found, problems = listed_files(tmp_path, files)
    assert list(found) == ["a"]
    assert found["a"].label == tmp_path / "x/a_mask.png"
    assert {problem.case: problem.what for problem in problems} == {
        "b": "there is no such file",
        "c": "there is no label for this image",
    }


def test_relative(tmp_path: Path) -> None:
    assert relative(tmp_path, tmp_path / "a" / "b.png") == "a/b.png"
    assert relative(tmp_path / "x", tmp_path / "b.png") == str(tmp_path / "b.png")
