"""Tests of where patches lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.preprocessing.locations import ANNOTATED
from goodfit.tasks.segmentation.positions import choose_start, copy_crop, is_foreground_position

SIZES = st.tuples(*[st.integers(1, 20)] * 3)
MARGINS = st.tuples(*[st.integers(0, 9)] * 3)


# nnU-Net's rule rounds the share of free positions, not that of the foreground ones.
@pytest.mark.parametrize(
    ("batch_size", "foreground"), [(1, []), (2, [1]), (3, [2]), (4, [3]), (9, [6, 7, 8]), (12, [8, 9, 10, 11])]
)
def test_foreground_positions_are_the_last(batch_size: int, foreground: list[int]) -> None:
    chosen = [position for position in range(batch_size) if is_foreground_position(position, batch_size, 0.33)]
    assert chosen == foreground


def test_all_or_no_position_is_foreground() -> None:
    assert all(is_foreground_position(position, 4, 1.0) for position in range(4))
    assert not any(is_foreground_position(position, 4, 0.0) for position in range(4))


@given(SIZES, SIZES, MARGINS, st.integers(0, 1000))
def test_a_patch_anywhere_stays_inside_or_covers_the_case(
    shape: tuple[int, ...], final: tuple[int, ...], margins: tuple[int, ...], seed: int
) -> None:
    size = tuple(patch + margin for patch, margin in zip(final, margins, strict=True))
    start = choose_start(np.random.default_rng(seed), shape, size, final, {})
    for first, length, crop, patch in zip(start, shape, size, final, strict=True):
        begin = first + crop // 2 - patch // 2
        # Odd margins may cost one voxel, as in nnU-Net.
        if patch <= length:
            assert begin >= -1
            assert begin + patch <= length + 1
        else:
            assert begin <= 1
            assert begin + patch >= length - 1


def test_every_place_is_reached() -> None:
    generator = np.random.default_rng(0)
    starts = {choose_start(generator, (10, 8, 6), (7, 7, 7), (4, 4, 7), {}) for _ in range(3000)}
    assert {first for first, _, _ in starts} == set(range(-2, 6))
    assert {second for _, second, _ in starts} == set(range(-2, 4))
    # One voxel is missing on the last axis: half of it on either side, rounded up.
    assert {third for _, _, third in starts} == {-1, 0}


@given(SIZES, SIZES, MARGINS, st.integers(0, 1000))
def test_foreground_is_in_the_crop(
    shape: tuple[int, ...], final: tuple[int, ...], margins: tuple[int, ...], seed: int
) -> None:
    size = tuple(patch + margin for patch, margin in zip(final, margins, strict=True))
    voxel = np.random.default_rng(seed).integers(0, shape)
    start = choose_start(np.random.default_rng(seed), shape, size, final, {3: voxel[None].astype(np.int32)})
    assert all(first <= at < first + crop for first, at, crop in zip(start, voxel, size, strict=True))


def test_present_classes_are_chosen_equally_often() -> None:
    locations = {
        1: np.tile(np.array([[4, 4, 4]], dtype=np.int32), (900, 1)),
        2: np.array([[10, 10, 10]], dtype=np.int32),
        3: np.zeros((0, 3), dtype=np.int32),
        ANNOTATED: np.array([[15, 15, 15]], dtype=np.int32),
    }
    generator = np.random.default_rng(0)
    size = (5, 5, 5)
    starts = [choose_start(generator, (20, 20, 20), size, size, locations) for _ in range(2000)]
    assert set(starts) == {(2, 2, 2), (8, 8, 8)}
    assert 900 < starts.count((2, 2, 2)) < 1100


def test_annotated_voxels_are_used_where_there_is_no_class() -> None:
    locations = {1: np.zeros((0, 3), dtype=np.int32), ANNOTATED: np.array([[15, 15, 15]], dtype=np.int32)}
    start = choose_start(np.random.default_rng(0), (20, 20, 20), (5, 5, 5), (5, 5, 5), locations)
    assert start == (13, 13, 13)


@given(SIZES, SIZES, st.tuples(*[st.integers(-25, 25)] * 3))
def test_crop_is_a_window_of_the_padded_case(
    shape: tuple[int, ...], size: tuple[int, ...], start: tuple[int, ...]
) -> None:
    source = np.arange(np.prod(shape), dtype=np.int16).reshape(1, *shape)
    out = np.full((1, *size), -1, dtype=np.int16)
    copy_crop(source, start, out)
    padded = np.pad(source, [(0, 0)] + [(50, 50)] * 3, constant_values=-1)
    window = tuple(slice(first + 50, first + 50 + length) for first, length in zip(start, size, strict=True))
    assert np.array_equal(out, padded[(slice(None), *window)])
