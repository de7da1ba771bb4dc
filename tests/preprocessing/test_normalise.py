from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from goodfit.errors import DatasetError
from goodfit.preprocessing.normalise import normalise

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.planning.plan import Data


@pytest.fixture
def array() -> np.ndarray:
    return np.random.default_rng(0).normal(60, 30, (1, 4, 5, 6)).astype(np.float32)


def test_ct_clips_and_uses_the_datasets_statistics(array: np.ndarray, make_data: Callable[..., Data]) -> None:
    expected = (np.clip(array.astype(np.float64), 10, 90) - 50) / 20

    normalise(array, make_data(normalisation=["ct"]), None)

    np.testing.assert_allclose(array, expected, atol=1e-5)


def test_zscore_gives_mean_zero_and_deviation_one(make_data: Callable[..., Data]) -> None:
    # Large numbers with a small spread: single-precision sums would be off by percents.
    array = np.random.default_rng(0).normal(1.7e6, 3e5, (1, 40, 50, 60)).astype(np.float32)
    expected = (array.astype(np.float64) - array.mean(dtype=np.float64)) / array.std(dtype=np.float64)

    normalise(array, make_data(), None)

    np.testing.assert_allclose(array, expected, atol=1e-5)


def test_masked_zscore_leaves_the_outside_alone(array: np.ndarray, make_data: Callable[..., Data]) -> None:
    mask = np.zeros(array.shape[1:], dtype=bool)
    mask[1:3, 1:4, 2:5] = True
    array[0, ~mask] = 0

    normalise(array, make_data(use_mask=[True]), mask)

    assert np.all(array[0, ~mask] == 0)
    assert abs(array[0, mask].mean()) < 1e-6
    assert abs(array[0, mask].std() - 1) < 1e-5


def test_masked_zscore_of_an_empty_mask_changes_nothing(make_data: Callable[..., Data]) -> None:
    array = np.zeros((1, 2, 2, 2), dtype=np.float32)

    normalise(array, make_data(use_mask=[True]), np.zeros((2, 2, 2), dtype=bool))

    assert not array.any()


@pytest.mark.parametrize("scheme", ["zscore", "rescale"])
def test_a_constant_image_becomes_zero(scheme: str, make_data: Callable[..., Data]) -> None:
    array = np.full((1, 3, 3, 3), 7, dtype=np.float32)

    normalise(array, make_data(normalisation=[scheme]), None)

    assert not array.any()


def test_rescale_reaches_from_zero_to_one(array: np.ndarray, make_data: Callable[..., Data]) -> None:
    normalise(array, make_data(normalisation=["rescale"]), None)

    assert (array.min(), array.max()) == (0, 1)


def test_channels_are_normalised_each_in_its_way(make_data: Callable[..., Data]) -> None:
    array = np.full((2, 1, 2, 2), 51, dtype=np.float32)

    normalise(array, make_data(2, normalisation=["rgb", "none"]), None)

    np.testing.assert_allclose(array[0], 0.2)
    assert np.all(array[1] == 51)


@pytest.mark.parametrize("value", [-1, 256])
def test_rgb_out_of_range_is_refused(value: float, make_data: Callable[..., Data]) -> None:
    array = np.full((1, 1, 2, 2), value, dtype=np.float32)

    with pytest.raises(DatasetError, match="channel0 is planned as rgb"):
        normalise(array, make_data(normalisation=["rgb"]), None)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_are_refused_by_channel_name(value: float, make_data: Callable[..., Data]) -> None:
    array = np.ones((2, 1, 2, 2), dtype=np.float32)
    array[1, 0, 0, 0] = value

    with pytest.raises(DatasetError, match="channel1 holds NaN or infinity"):
        normalise(array, make_data(2), None)


def test_a_missing_channel_is_refused(make_data: Callable[..., Data]) -> None:
    with pytest.raises(DatasetError, match="1 channels, the plan knows 2"):
        normalise(np.ones((1, 1, 2, 2), dtype=np.float32), make_data(2), None)
