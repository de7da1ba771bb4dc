from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion, zoom

from goodfit.data.dataset import open_dataset
from goodfit.data.readers import read_label
from goodfit.preprocessing.grid import nearest_indices
from goodfit.preprocessing.resample import (
    new_shape,
    resample_image,
    resample_label,
    resample_logits,
    separate_axis,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ISOTROPIC = (1.0, 1.0, 1.0)
THICK = (10.0, 1.5, 1.5)
spacings = st.floats(0.1, 20)


def _zoomed(volume: np.ndarray, shape: tuple[int, ...], order: int) -> np.ndarray:
    factors = np.divide(shape, volume.shape)
    result = zoom(volume.astype(np.float64), factors, order=order, mode="nearest", grid_mode=True)
    return np.clip(result, volume.min(), volume.max())


@pytest.mark.parametrize(
    ("before", "after", "axis"),
    [
        (ISOTROPIC, (1.2, 0.8, 1.1), None),
        (THICK, (5, 1.2, 1.2), 0),
        ((1.5, 10, 1.5), (1.5, 1.5, 1.5), 1),
        (ISOTROPIC, (1, 1, 4), 2),
        # Exactly three times as long is not yet anisotropic.
        ((3, 1, 1), (3, 1, 1), None),
        # Two long axes: nothing is separate, even if the target has one.
        ((5, 5, 1), (1, 1, 5), None),
        ((999, 1, 1), (999, 0.5, 0.5), 0),
    ],
)
def test_the_separate_axis(before: tuple[float, ...], after: tuple[float, ...], axis: int | None) -> None:
    assert separate_axis(before, after) == axis


def test_new_shape_keeps_the_extent() -> None:
    assert new_shape((36, 50, 35), (1, 1, 1), (1.3, 0.8, 1)) == (28, 62, 35)
    assert new_shape((1, 4, 4), (1, 1, 1), (9, 9, 9)) == (1, 1, 1)


@given(st.tuples(*[st.integers(1, 300)] * 3), st.tuples(*[spacings] * 3))
def test_the_same_spacing_keeps_the_shape(shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    assert new_shape(shape, spacing, spacing) == shape


@pytest.mark.parametrize("shape", [(17, 33, 26), (30, 15, 40), (21, 40, 28)])
def test_images_equal_scipys_cubic_zoom(shape: tuple[int, int, int]) -> None:
    array = np.random.default_rng(0).normal(size=(2, 21, 30, 28)).astype(np.float32)

    result = resample_image(array, shape, ISOTROPIC, ISOTROPIC)

    assert result.dtype == np.float32
    for channel, expected in zip(result, array, strict=True):
        np.testing.assert_allclose(channel, _zoomed(expected, shape, 3), atol=1e-5)


@pytest.mark.parametrize("depth", [4, 6, 15])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_separate_axis_takes_whole_slices(axis: int, depth: int) -> None:
    array = np.moveaxis(np.random.default_rng(0).normal(size=(1, 6, 20, 24)), 1, axis + 1).astype(np.float32)
    spacing = tuple(np.roll(THICK, axis))
    shape = [30, 18]
    shape.insert(axis, depth)

    result = np.moveaxis(resample_image(array, tuple(shape), spacing, spacing)[0], axis, 0)

    slices = np.moveaxis(array[0], axis, 0)
    # Each slice is clipped to its own range, as nnU-Net resizes each by itself.
    for number, source in enumerate(nearest_indices(6, depth)):
        np.testing.assert_allclose(result[number], _zoomed(slices[source], (30, 18), 3), atol=1e-5)


def test_nothing_is_done_where_the_shape_stays() -> None:
    array = np.ones((1, 3, 4, 5), dtype=np.float32)
    label = np.ones((1, 3, 4, 5), dtype=np.int16)
    logits = torch.ones(2, 3, 4, 5)

    assert resample_image(array, (3, 4, 5), ISOTROPIC, THICK) is array
    assert resample_label(label, (3, 4, 5), ISOTROPIC, THICK) is label
    assert resample_logits(logits, (3, 4, 5), ISOTROPIC, THICK) is logits


@pytest.mark.parametrize("depth", [3, 9])
def test_labels_keep_their_slices_along_a_separate_axis(depth: int) -> None:
    label = np.stack([np.full((8, 8), number, dtype=np.int16) for number in range(6)])[None]

    result = resample_label(label, (depth, 12, 5), THICK, THICK)

    assert result.shape == (1, depth, 12, 5)
    assert result[0, :, 0, 0].tolist() == nearest_indices(6, depth).tolist()


@pytest.mark.parametrize("shape", [(9, 14, 8), (6, 5, 12)])
def test_logits_are_interpolated_linearly(shape: tuple[int, int, int]) -> None:
    logits = np.random.default_rng(0).normal(size=(3, 6, 10, 9)).astype(np.float32)

    result = resample_logits(torch.from_numpy(logits), shape, ISOTROPIC, ISOTROPIC).numpy()

    for channel, expected in zip(result, logits, strict=True):
        np.testing.assert_allclose(channel, _zoomed(expected, shape, 1), atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("depth", [4, 6, 11])
def test_logits_take_whole_slices_along_a_separate_axis(axis: int, depth: int) -> None:
    logits = np.moveaxis(np.random.default_rng(0).normal(size=(2, 6, 10, 9)), 1, axis + 1).astype(np.float32)
    spacing = tuple(np.roll(THICK, axis))
    shape = [15, 7]
    shape.insert(axis, depth)

    result = resample_logits(torch.from_numpy(logits.copy()), tuple(shape), spacing, spacing).numpy()

    assert result.shape == (2, *shape)
    for channel, before in zip(np.moveaxis(result, axis + 1, 1), np.moveaxis(logits, axis + 1, 1), strict=True):
        for number, source in enumerate(nearest_indices(6, depth)):
            np.testing.assert_allclose(channel[number], _zoomed(before[source], (15, 7), 1), atol=1e-5)


@pytest.mark.parametrize(
    ("dataset", "cases", "target"),
    [
        ("Dataset004_Hippocampus", 12, (0.8, 0.8, 0.8)),
        ("Dataset004_Hippocampus", 12, (1.5, 1.5, 1.5)),
        ("Dataset027_ACDC", 8, (10.0, 1.2, 1.2)),
        ("Dataset027_ACDC", 8, (5.0, 1.5625, 1.5625)),
        ("Dataset301_MouseBrainFVB", 2, (0.12, 0.12, 0.12)),
        ("Dataset301_MouseBrainFVB", 5, (0.2, 0.2, 0.2)),
    ],
)
def test_class_volumes_survive_resampling(
    dataset: str, cases: int, target: tuple[float, float, float], shared_data: Callable[[str], Path]
) -> None:
    """Shares of the volume per class: exactly as by interpolating each class, and as before but for rounding.

    Only voxels at a class's surface can be rounded to another class, so the change is held against these.
    """
    before: dict[int, float] = {}
    after: dict[int, float] = {}
    surface: dict[int, float] = {}
    for case in open_dataset(shared_data(dataset)).cases[:cases]:
        assert case.label is not None
        label, geometry = read_label(case.label)
        shape = new_shape(label.shape, geometry.spacing, target)
        result = resample_label(label[None].astype(np.int16), shape, geometry.spacing, target)[0]
        assert np.array_equal(result, _exact(label, shape, separate_axis(geometry.spacing, target)))
        for value in np.unique(label[label > 0]).tolist():
            mask = label == value
            before[value] = before.get(value, 0) + mask.mean()
            after[value] = after.get(value, 0) + (result == value).mean()
            surface[value] = surface.get(value, 0) + (mask & ~binary_erosion(mask)).mean()

    changes = np.array([abs(after[value] - before[value]) / surface[value] for value in before])
    assert changes.max() < 0.1
    assert changes.mean() < 0.04


def _exact(label: np.ndarray, shape: tuple[int, int, int], axis: int | None) -> np.ndarray:
    """The label of the largest share, each class interpolated by scipy in double precision.

    Equal shares go to the nearest voxel's label where it is among them, else to the smallest label.
    """
    if axis is not None:
        label = label.take(nearest_indices(label.shape[axis], shape[axis]), axis=axis)
    factors = np.divide(shape, label.shape)
    nearest = zoom(label, factors, order=0, mode="nearest", grid_mode=True)
    best, winner, nearest_share = np.full(shape, -1.0), np.zeros(shape, dtype=label.dtype), np.zeros(shape)
    for value in np.unique(label):
        share = zoom((label == value).astype(float), factors, order=1, mode="nearest", grid_mode=True)
        winner[share > best + 1e-9] = value
        np.maximum(best, share, out=best)
        nearest_share[nearest == value] = share[nearest == value]
    return np.where(nearest_share >= best - 1e-9, nearest, winner)
