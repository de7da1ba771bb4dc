"""Frames are stored at torchvision's size and read back anywhere."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.errors import DatasetError
from goodfit.preprocessing.frames import FrameStore, resize, target_size
from goodfit.preprocessing.frames_file import write_frame

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("size", "limits", "expected"),
    [
        ((480, 640), (320, 640), (320, 426)),
        ((640, 480), (320, 640), (426, 320)),
        ((512, 512), (512, 1024), (512, 512)),
        ((1080, 1920), (800, 1333), (749, 1333)),
        ((100, 1000), (320, 640), (64, 640)),
        ((256, 256), (512, 512), (512, 512)),
        ((3, 9000), (320, 640), (1, 640)),
    ],
)
def test_sizes_follow_the_rule(size: tuple[int, int], limits: tuple[int, int], expected: tuple[int, int]) -> None:
    assert target_size(*size, *limits) == expected


@given(height=st.integers(16, 4000), width=st.integers(16, 4000), low=st.integers(32, 1500), more=st.integers(0, 1500))
def test_sizes_are_torchvisions_up_to_its_rounding(height: int, width: int, low: int, more: int) -> None:
    found = target_size(height, width, low, low + more)
    scale = min(low / min(height, width), (low + more) / max(height, width))
    for side, there in zip((height, width), found, strict=True):
        assert int(side * scale) <= there <= int(side * scale) + 1
    assert min(found) <= low
    assert max(found) <= low + more
    assert min(found) == low or max(found) == low + more
    assert target_size(*found, low, low + more) == found or max(found) == low + more


@pytest.mark.parametrize("size", [(480, 640), (333, 500), (1080, 1920), (75, 211)])
def test_torchvision_leaves_stored_frames_as_they_are(size: tuple[int, int]) -> None:
    import torch
    from torchvision.models.detection.transform import GeneralizedRCNNTransform

    transform = GeneralizedRCNNTransform(320, 640, [0.0] * 3, [1.0] * 3, size_divisible=1)
    transform.eval()
    height, width = target_size(*size, 320, 640)
    resized, _ = transform.resize(torch.zeros(3, height, width), None)
    assert tuple(resized.shape[1:]) == (height, width)


def test_what_gets_smaller_is_averaged() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = resize(stripes, (16, 16))
    assert small.shape == (16, 16, 3)
    assert np.abs(small.astype(int) - 127).max() < 30


def test_a_frame_of_the_right_size_is_left_alone() -> None:
    image = np.zeros((8, 9, 3), np.uint8)
    assert resize(image, (8, 9)) is image
    assert resize(image, (16, 18)).flags.writeable


def test_a_store_travels_to_other_processes(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    write_frame(tmp_path / "one.frame", image, (40, 90), bytes(16))
    store = FrameStore(tmp_path)
    store.get("one")
    again = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(again.get("one"), image)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        np.testing.assert_array_equal(pool.submit(store.get, "one").result(), image)


def test_size_scale_and_names(tmp_path: Path) -> None:
    write_frame(tmp_path / "b.frame", np.zeros((20, 30, 3), np.uint8), (40, 90), bytes(16))
    write_frame(tmp_path / "a.b.frame", np.zeros((20, 30, 3), np.uint8), (20, 30), bytes(16))
    (tmp_path / ".writing-x.frame").touch()
    store = FrameStore(tmp_path)
    assert store.names() == ["a.b", "b"]
    assert store.size("b") == (20, 30)
    assert store.scale("b") == (30 / 90, 20 / 40)
    assert store.scale("a.b") == (1, 1)


def test_a_frame_that_is_not_stored_is_named(tmp_path: Path) -> None:
    store = FrameStore(tmp_path)
    for read in (store.get, store.size, store.scale):
        with pytest.raises(DatasetError, match=r"none\.frame: .*goodfit preprocess"):
            read("none")
