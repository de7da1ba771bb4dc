"""A stored frame comes back bit by bit, or is known to be damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goodfit.errors import DatasetError
from goodfit.preprocessing.frames_file import FrameHeader, read_frame, read_header, write_frame

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(16))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    seed=st.integers(0, 100),
    kind=st.sampled_from(["noise", "flat"]),
)
def test_every_pixel_comes_back(tmp_path: Path, height: int, width: int, seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3) if kind == "noise" else (1, 1, 3)).astype(np.uint8)
    image = np.broadcast_to(image, (height, width, 3)).copy()
    before = image.copy()
    write_frame(tmp_path / "a.frame", image, (3 * height, 2 * width), KEY)
    found = read_frame(tmp_path / "a.frame")
    np.testing.assert_array_equal(found, before)
    np.testing.assert_array_equal(image, before)
    assert found.flags.writeable
    header = read_header(tmp_path / "a.frame")
    assert header is not None
    assert header == FrameHeader(height, width, 3 * height, 2 * width, KEY, header.packed_bytes)


def test_smooth_images_get_smaller(tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(256), np.arange(256)) // 2
    image = np.repeat(ramp[..., None], 3, axis=2).astype(np.uint8)
    write_frame(tmp_path / "a.frame", image, (256, 256), KEY)
    assert (tmp_path / "a.frame").stat().st_size < 0.1 * image.nbytes


@pytest.mark.parametrize("keep", [0, 20, 55, -1])
def test_a_damaged_file_is_known(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.frame"
    write_frame(path, np.zeros((8, 8, 3), np.uint8), (8, 8), KEY)
    path.write_bytes(path.read_bytes()[:keep])
    assert read_header(path) is None
    with pytest.raises(DatasetError, match=r"a\.frame: the file is damaged"):
        read_frame(path)


def test_damage_within_the_pixels_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.frame"
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    write_frame(path, image, (64, 64), KEY)
    content = path.read_bytes()
    header = len(content) - _packed_bytes(path)
    path.write_bytes(content[:header] + b"\xff" * (len(content) - header))
    with pytest.raises(DatasetError, match=r"a\.frame: the file is damaged"):
        read_frame(path)


def _packed_bytes(path: Path) -> int:
    header = read_header(path)
    assert header is not None
    return header.packed_bytes


def test_a_missing_or_foreign_file_is_known(tmp_path: Path) -> None:
    assert read_header(tmp_path / "none.frame") is None
    with pytest.raises(DatasetError, match=r"none\.frame: this frame is not preprocessed"):
        read_frame(tmp_path / "none.frame")
    (tmp_path / "foreign.frame").write_bytes(b"x" * 500)
    assert read_header(tmp_path / "foreign.frame") is None
