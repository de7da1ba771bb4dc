"""Tests of binary morphology; ``test_training_parity_with_nnunet.py`` compares it with nnU-Net's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from goodfit.tasks.segmentation.augmentation.morphology import OPERATIONS, Operation, ball, morph

SHAPES = st.tuples(*[st.integers(1, 14)] * 3)
RADII = st.floats(1, 5)


def some_mask(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.2


def test_a_ball_of_whole_radius_holds_the_voxels_within_it() -> None:
    for radius in (1, 2, 3, 5):
        grid = np.mgrid[-radius : radius + 1, -radius : radius + 1, -radius : radius + 1]
        inside = (grid**2).sum(0) <= radius**2
        assert np.array_equal(ball(float(radius)).numpy(), inside)


def test_a_ball_between_two_halves_is_even() -> None:
    assert ball(1.4).shape == (3, 3, 3)
    assert ball(1.6).shape == (4, 4, 4)
    assert ball(7.99).shape == (16, 16, 16)


@settings(max_examples=30)
@given(SHAPES, st.integers(1, 3), st.integers(0, 99))
def test_it_is_scipys_with_a_ball(shape: tuple[int, ...], radius: int, seed: int) -> None:
    mask = some_mask(shape, seed)
    structure = ball(float(radius)).numpy()
    dilated = ndimage.binary_dilation(mask.numpy(), structure)
    eroded = ndimage.binary_erosion(mask.numpy(), structure, border_value=1)
    assert np.array_equal(morph(mask, "dilate", radius).numpy(), dilated)
    assert np.array_equal(morph(mask, "erode", radius).numpy(), eroded)
    assert np.array_equal(
        morph(mask, "close", radius).numpy(), ndimage.binary_erosion(dilated, structure, border_value=1)
    )
    assert np.array_equal(morph(mask, "open", radius).numpy(), ndimage.binary_dilation(eroded, structure))


@settings(max_examples=30)
@given(SHAPES, RADII, st.integers(0, 99))
def test_dilating_grows_and_eroding_shrinks(shape: tuple[int, ...], radius: float, seed: int) -> None:
    mask = some_mask(shape, seed)
    assert not (mask & ~morph(mask, "dilate", radius)).any()
    assert not (morph(mask, "erode", radius) & ~mask).any()


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("fill", [False, True])
def test_nothing_and_everything_stay(operation: Operation, fill: bool) -> None:
    mask = torch.full((5, 6, 7), fill)
    assert torch.equal(morph(mask, operation, 2.6), mask)


def test_the_input_stays() -> None:
    mask = some_mask((6, 6, 6), 0)
    before = mask.clone()
    for operation in OPERATIONS:
        morph(mask, operation, 2.2)
    assert torch.equal(mask, before)
