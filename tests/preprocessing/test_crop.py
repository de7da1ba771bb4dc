from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import binary_fill_holes

from goodfit.preprocessing.crop import bounding_box, box_slices, fill_holes, mark_outside, nonzero_mask

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6), elements=st.booleans())


def test_mask_is_true_where_any_channel_is_nonzero() -> None:
    array = np.zeros((2, 1, 2, 3))
    array[0, 0, 0, 1] = -3
    array[1, 0, 1, 2] = 0.5

    assert np.argwhere(nonzero_mask(array)).tolist() == [[0, 0, 1], [0, 1, 2]]


@given(masks)
def test_box_is_the_smallest_that_holds_every_true_voxel(mask: np.ndarray) -> None:
    box = bounding_box(mask)

    if not mask.any():
        assert box == tuple((0, length) for length in mask.shape)
        return
    found = np.argwhere(mask)
    assert box == tuple((low, high + 1) for low, high in zip(found.min(axis=0), found.max(axis=0), strict=True))
    assert mask[box_slices(box)].sum() == mask.sum()


@given(masks)
def test_holes_are_filled_as_scipy_does(mask: np.ndarray) -> None:
    before = mask.copy()

    assert np.array_equal(fill_holes(mask), binary_fill_holes(mask))
    assert np.array_equal(mask, before)


@given(masks)
def test_filling_the_cut_out_is_filling_the_whole(mask: np.ndarray) -> None:
    slices = box_slices(bounding_box(mask))

    assert np.array_equal(fill_holes(mask[slices]), binary_fill_holes(mask)[slices])


@pytest.mark.parametrize("hole", [(2, 2, 2), (1, 2, 3)])
def test_an_enclosed_voxel_is_a_hole_and_an_open_one_is_not(hole: tuple[int, int, int]) -> None:
    mask = np.ones((5, 5, 5), dtype=bool)
    mask[hole] = False
    mask[0, 0, 0] = False

    filled = fill_holes(mask)

    assert filled[hole]
    assert not filled[0, 0, 0]


def test_only_background_outside_the_mask_is_marked() -> None:
    label = np.array([[[0, 0, 2, 2]]], dtype=np.int16)

    mark_outside(label, np.array([[[True, False, True, False]]]))

    assert label.tolist() == [[[0, -1, 2, 2]]]
