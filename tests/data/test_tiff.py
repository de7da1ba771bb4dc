"""Whole TIFF files pass, whatever their kind; truncated ones do not."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK

from goodfit.data.tiff import require_whole_tiff
from goodfit.errors import ImageFileError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("shape", [(30, 40), (5, 30, 40)])
@pytest.mark.parametrize("compress", [True, False])
def test_every_truncation_is_noticed(tmp_path: Path, shape: tuple[int, ...], compress: bool) -> None:
    array = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    file = tmp_path / "a.tif"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), str(file), useCompression=compress)
    content = file.read_bytes()
    require_whole_tiff(file)
    for kept in np.linspace(10, len(content) - 2, 12).astype(int):
        file.write_bytes(content[:kept])
        with pytest.raises(ImageFileError, match=r"a\.tif: the file is truncated"):
            require_whole_tiff(file)


@pytest.mark.parametrize("mark", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_byte_orders_and_big_tiff(tmp_path: Path, mark: str, big: bool) -> None:
    order = b"II" if mark == "<" else b"MM"
    number, word, size = ("Q", "Q", 16) if big else ("H", "I", 8)
    tags = [(273, 4, 100), (279, 4, 50)]  # one strip of 50 bytes at 100
    start = order + (struct.pack(f"{mark}HHHQ", 43, 8, 0, 16) if big else struct.pack(f"{mark}HI", 42, 8))
    page = struct.pack(f"{mark}{number}", len(tags))
    for tag, kind, value in tags:
        page += struct.pack(f"{mark}HH{word}I", tag, kind, 1, value) + (b"\0" * 4 if big else b"")
    content = (start + page + struct.pack(f"{mark}{word}", 0)).ljust(100, b"\0")
    assert len(start) == size
    (tmp_path / "a.tif").write_bytes(content + b"\0" * 50)
    require_whole_tiff(tmp_path / "a.tif")
    (tmp_path / "a.tif").write_bytes(content + b"\0" * 49)
    with pytest.raises(ImageFileError, match="truncated"):
        require_whole_tiff(tmp_path / "a.tif")


def test_other_files_are_no_tiff(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"something else altogether")
    with pytest.raises(ImageFileError, match="no TIFF file"):
        require_whole_tiff(tmp_path / "a.tif")
