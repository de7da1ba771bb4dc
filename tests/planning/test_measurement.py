from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.data.readers import Geometry, Image
from goodfit.errors import DatasetError
from goodfit.planning.measurement import measure_case, values_per_case


def image_of(array: np.ndarray) -> Image:
    geometry = Geometry(spacing=(2.0, 1.0, 1.0), origin=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1), dims=3)
    return Image(np.asarray(array, dtype=np.float32), geometry)


@pytest.fixture
def case() -> tuple[Image, np.ndarray]:
    rng = np.random.default_rng(0)
    array = np.zeros((2, 12, 14, 16), np.float32)
    array[0, 2:10, 3:12, 4:] = rng.normal(100, 20, (8, 9, 12))
    array[1, 3:11, 3:12, 4:] = rng.normal(-5, 1, (8, 9, 12))
    label = np.zeros(array.shape[1:], np.int16)
    label[4:8, 5:9, 6:10] = 1
    label[4, 5, 6:9] = 2
    return image_of(array), label


def test_geometry_crop_and_classes(case: tuple[Image, np.ndarray]) -> None:
    measured = measure_case("a", *case)
    assert measured.spacing == (2.0, 1.0, 1.0)
    assert measured.shape_before_crop == (12, 14, 16)
    assert measured.shape_after_crop == (9, 9, 12)  # nonzero in either channel
    assert measured.relative_size == pytest.approx(9 * 9 * 12 / (12 * 14 * 16))
    assert measured.class_voxels == {1: 64 - 3, 2: 3}


def test_moments_are_exact_over_the_foreground(case: tuple[Image, np.ndarray]) -> None:
    image, label = case
    measured = measure_case("a", image, label)
    for channel, array in zip(measured.channels, image.array, strict=True):
        foreground = array[label > 0].astype(np.float64)
        assert channel.mean == pytest.approx(foreground.mean())
        assert channel.variance == pytest.approx(foreground.var())
        assert (channel.minimum, channel.maximum) == (foreground.min(), foreground.max())


@given(st.integers(1, 3000), st.sampled_from([256, 1000]))
def test_kept_values_stand_for_the_distribution(count: int, values: int) -> None:
    array = np.random.default_rng(count).normal(10, 3, (1, 1, 1, count)).astype(np.float32)
    kept = measure_case("a", image_of(array), np.ones((1, 1, count), np.int16), values=values).channels[0].values
    assert kept.shape == (values,)
    assert (np.diff(kept) >= 0).all()
    assert np.isin(kept, array).all()
    ranks = np.searchsorted(np.sort(array.ravel()), kept, side="left") / count
    assert np.abs(ranks - np.arange(values) / values).max() <= 1 / values + 1 / count


def test_the_image_is_left_as_it_was(case: tuple[Image, np.ndarray]) -> None:
    image, label = case
    before = image.array.copy(), label.copy()
    measure_case("a", image, label)
    np.testing.assert_array_equal(image.array, before[0])
    np.testing.assert_array_equal(label, before[1])


def test_a_case_without_foreground_has_no_intensities(case: tuple[Image, np.ndarray]) -> None:
    measured = measure_case("a", case[0], np.zeros_like(case[1]))
    assert measured.channels == ()
    assert measured.class_voxels == {}


def test_an_image_of_zeros_is_not_cropped() -> None:
    assert measure_case("a", image_of(np.zeros((1, 4, 5, 6))), np.ones((4, 5, 6), np.int16)).relative_size == 1


def test_different_grids_are_refused(case: tuple[Image, np.ndarray]) -> None:
    with pytest.raises(DatasetError, match="a: the label has shape"):
        measure_case("a", case[0], case[1][1:])


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(case: tuple[Image, np.ndarray], wrong: float) -> None:
    image, label = case
    image.array[1, 5, 6, 7] = wrong
    with pytest.raises(DatasetError, match=r"a, channel 1: .*NaN"):
        measure_case("a", image, label)


def test_large_datasets_keep_fewer_values_of_each_case() -> None:
    assert values_per_case(1) == values_per_case(2000) == 10_000
    assert values_per_case(20_000) == 1000
    assert values_per_case(10_000_000) == 256
