"""Images to predict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from goodfit.data.inputs import list_inputs
from goodfit.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()


def test_channels_are_grouped_into_cases(tmp_path: Path) -> None:
    touch(tmp_path, "b_0000.nii.gz", "b_0001.nii.gz", "a_0001.nii.gz", "a_0000.nii.gz", ".DS_Store")
    cases = list_inputs(tmp_path, ".nii.gz", 2)
    assert [name for name, _ in cases] == ["a", "b"]
    assert [file.name for file in cases[0][1]] == ["a_0000.nii.gz", "a_0001.nii.gz"]


def test_one_file_and_another_ending(tmp_path: Path) -> None:
    touch(tmp_path, "scan.mha")
    assert list_inputs(tmp_path / "scan.mha", ".nii.gz", 1)[0][0] == "scan"
    assert list_inputs(tmp_path, ".nii.gz", 1)[0][0] == "scan"


def test_missing_channels_are_named_together(tmp_path: Path) -> None:
    touch(tmp_path, "a_0000.nii.gz", "a_0002.nii.gz", "b_0001.nii.gz", "b_0002.nii.gz")
    with pytest.raises(DatasetError, match=r"(?s)a: .*b: "):
        list_inputs(tmp_path, ".nii.gz", 3)


def test_nothing_to_predict(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no image is there"):
        list_inputs(tmp_path, ".nii.gz", 1)
    with pytest.raises(DatasetError, match="no such file or folder"):
        list_inputs(tmp_path / "nowhere", ".nii.gz", 1)


def test_a_list_names_files_on_its_lines(tmp_path: Path) -> None:
    for name in ("a_0000.nii.gz", "b_0000.nii.gz", "c_0000.nii.gz"):
        (tmp_path / "scans").mkdir(exist_ok=True)
        (tmp_path / "scans" / name).write_bytes(b"")
    listed = tmp_path / "list.txt"
    listed.write_text(f"# two of three\nscans/c_0000.nii.gz\n\n{tmp_path / 'scans' / 'a_0000.nii.gz'}\n")
    expected = ["a", "c"]
    assert [name for name, _ in list_inputs(listed, ".nii.gz", 1)] == expected
    files = [tmp_path / "scans" / "c_0000.nii.gz", str(tmp_path / "scans" / "a_0000.nii.gz")]
    assert [name for name, _ in list_inputs(files, ".nii.gz", 1)] == expected


def test_lists_with_missing_files_or_names_that_occur_twice_are_refused(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.nii.gz").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"the list of inputs: these files have one name.*two.*one"):
        list_inputs([tmp_path / "one" / "a.nii.gz", tmp_path / "two" / "a.nii.gz"], ".nii.gz", 1)
    (tmp_path / "list.txt").write_text("one/b.nii.gz\n")
    with pytest.raises(DatasetError, match=r"list\.txt: these files are not there: .*b\.nii\.gz"):
        list_inputs(tmp_path / "list.txt", ".nii.gz", 1)
    with pytest.raises(DatasetError, match="no image is there"):
        list_inputs([], ".nii.gz", 1)
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="cannot be read as a list"):
        list_inputs(tmp_path / "list.txt", ".nii.gz", 1)
