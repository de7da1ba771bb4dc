"""Writing files safely."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from goodfit.errors import DatasetError, ResourceError
from goodfit.files import read_json, replacing, require_disk_room, write_json, write_text

if TYPE_CHECKING:
    from pathlib import Path


def test_the_old_content_stays_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fill_the_disk() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ResourceError, match=r"file\.txt: no room left"):
        fill_the_disk()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_file_keeps_the_suffixes(tmp_path: Path) -> None:
    with replacing(tmp_path / "case.nii.gz") as temporary:
        assert temporary.name.endswith(".nii.gz")
        temporary.write_bytes(b"x")
    assert (tmp_path / "case.nii.gz").read_bytes() == b"x"


def test_json_round_trip_keeps_letters(tmp_path: Path) -> None:
    write_json(tmp_path / "deep" / "x.json", {"größe": [1, 2.5, None]})
    assert read_json(tmp_path / "deep" / "x.json") == {"größe": [1, 2.5, None]}
    assert "größe" in (tmp_path / "deep" / "x.json").read_text(encoding="utf-8")


def test_broken_json_names_file_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{\n "a": ]')
    with pytest.raises(DatasetError, match=r"x\.json: not valid JSON \(line 2, column 7\)"):
        read_json(tmp_path / "x.json", DatasetError)
    with pytest.raises(DatasetError, match="no such file"):
        read_json(tmp_path / "y.json", DatasetError)


def test_too_little_disk_room_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="needs about"):
        require_disk_room(tmp_path / "not" / "there", 2**60, "the store")
    require_disk_room(tmp_path, 1, "the store")
    assert not (tmp_path / "not").exists()
