from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from goodfit.errors import DatasetError
from goodfit.preprocessing.case import crop_and_normalise, preprocess_case, resampling_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.data.geometry import Image
    from goodfit.planning.plan import Configuration, Data


@pytest.fixture
def volume() -> np.ndarray:
    array = np.zeros((10, 12, 14), dtype=np.float32)
    array[2:8, 3:11, 1:13] = np.random.default_rng(0).uniform(1, 2, (6, 8, 12))
    array[4, 5, 5] = 0
    array[2, 3, 1:4] = 0
    return array


@pytest.fixture
def label() -> np.ndarray:
    label = np.zeros((10, 12, 14), dtype=np.uint8)
    label[3:6, 4:7, 4:7] = 1
    label[2, 3, 1] = 2
    return label


def test_crop_label_marking_and_properties(
    volume: np.ndarray,
    label: np.ndarray,
    make_image: Callable[..., Image],
    make_data: Callable[..., Data],
    make_configuration: Callable[..., Configuration],
) -> None:
    image, marked, properties = preprocess_case(
        make_image(volume), label, make_data(), make_configuration("3d_fullres", (1, 1, 1))
    )

    assert image.shape == (1, 6, 8, 12)
    assert properties.bbox == ((2, 8), (3, 11), (1, 13))
    assert properties.shape_before_crop == (10, 12, 14)
    assert properties.shape == properties.shape_after_crop == (6, 8, 12)
    assert not properties.resampled
    assert marked is not None
    assert marked.dtype == np.int8
    # The hole inside is inside; the notch at the edge is outside, but a labelled voxel there keeps its label.
    assert marked[0, 2, 2, 4] == 1
    assert marked[0, 0, 0, :4].tolist() == [2, -1, -1, 0]
    assert (marked == -1).sum() == 2


def test_the_inputs_are_left_as_they_are(
    volume: np.ndarray, label: np.ndarray, make_image: Callable[..., Image], make_data: Callable[..., Data]
) -> None:
    image = make_image(volume + 1)
    before, label_before = image.array.copy(), label.copy()

    crop_and_normalise(image, label, make_data(normalisation=["ct"]))

    assert np.array_equal(image.array, before)
    assert np.array_equal(label, label_before)


def test_transposing_is_done_before_everything(
    volume: np.ndarray,
    label: np.ndarray,
    make_image: Callable[..., Image],
    make_data: Callable[..., Data],
    make_configuration: Callable[..., Configuration],
) -> None:
    plain = preprocess_case(
        make_image(volume, (1, 2, 3)), label, make_data(), make_configuration("3d_fullres", (1.2, 2, 3))
    )
    turned = preprocess_case(
        make_image(volume, (1, 2, 3)),
        label,
        make_data(transpose=[2, 0, 1]),
        make_configuration("3d_fullres", (3, 1.2, 2)),
    )

    assert plain[1] is not None
    assert turned[1] is not None
    assert turned[2].shape == (12, 5, 8)
    assert turned[2].spacing_before == (3, 1, 2)
    np.testing.assert_allclose(turned[0], plain[0].transpose(0, 3, 1, 2), atol=1e-5)
    assert np.array_equal(turned[1], plain[1].transpose(0, 3, 1, 2))


def test_a_2d_configuration_keeps_the_slices(
    volume: np.ndarray,
    make_image: Callable[..., Image],
    make_data: Callable[..., Data],
    make_configuration: Callable[..., Configuration],
) -> None:
    image, marked, properties = preprocess_case(
        make_image(volume, (4, 1, 1)), None, make_data(), make_configuration("2d", (1, 0.5, 2))
    )

    assert marked is None
    assert image.shape == (1, 6, 16, 6)
    assert properties.spacing == (4, 0.5, 2)


def test_masked_normalisation_counts_labelled_voxels_as_inside(
    volume: np.ndarray, label: np.ndarray, make_image: Callable[..., Image], make_data: Callable[..., Data]
) -> None:
    cropped = crop_and_normalise(make_image(volume), label, make_data(use_mask=[True]))

    assert cropped.label is not None
    inside = cropped.label[0] >= 0
    assert np.all(cropped.image[0, ~inside] == 0)
    assert abs(cropped.image[0, inside].mean()) < 1e-5
    assert cropped.image[0, 0, 0, 0] < -1


def test_masked_normalisation_works_without_a_label(
    volume: np.ndarray, make_image: Callable[..., Image], make_data: Callable[..., Data]
) -> None:
    cropped = crop_and_normalise(make_image(volume), None, make_data(use_mask=[True]))

    assert np.all(cropped.image[0, 0, 0, :3] == 0)
    assert cropped.image[0, 2, 2, 4] < -1


@pytest.mark.parametrize(("value", "kind"), [(127, np.int8), (128, np.int16), (40000, np.int32)])
def test_the_label_type_is_the_smallest_that_fits(
    value: int,
    kind: type,
    make_image: Callable[..., Image],
    make_data: Callable[..., Data],
    make_configuration: Callable[..., Configuration],
) -> None:
    label = np.zeros((4, 4, 4), dtype=np.int32)
    label[1, 1, 1] = value

    _, marked, _ = preprocess_case(
        make_image(np.ones((4, 4, 4))), label, make_data(), make_configuration("3d_fullres", (1, 1, 1))
    )

    assert marked is not None
    assert marked.dtype == kind
    assert marked.max() == value


def test_equal_outcomes_are_known_beforehand(
    volume: np.ndarray,
    make_image: Callable[..., Image],
    make_data: Callable[..., Data],
    make_configuration: Callable[..., Configuration],
) -> None:
    cropped = crop_and_normalise(make_image(volume), None, make_data())

    flat = resampling_of(cropped, make_configuration("2d", (1, 1, 1)))

    assert flat == resampling_of(cropped, make_configuration("3d_fullres", (1, 1, 1)))
    assert flat != resampling_of(cropped, make_configuration("3d_fullres", (2, 1, 1)))


def test_a_label_of_another_shape_is_refused(
    volume: np.ndarray, make_image: Callable[..., Image], make_data: Callable[..., Data]
) -> None:
    with pytest.raises(DatasetError, match=r"image has shape \(10, 12, 14\), its label \(9, 12, 14\)"):
        crop_and_normalise(make_image(volume), np.zeros((9, 12, 14), dtype=np.int16), make_data())


def test_an_empty_image_is_kept_whole(
    make_image: Callable[..., Image],
    make_data: Callable[..., Data],
    make_configuration: Callable[..., Configuration],
) -> None:
    image, marked, _ = preprocess_case(
        make_image(np.zeros((4, 5, 6))),
        np.zeros((4, 5, 6), dtype=np.int16),
        make_data(use_mask=[True]),
        make_configuration("3d_fullres", (1, 1, 1)),
    )

    assert image.shape == (1, 4, 5, 6)
    assert not image.any()
    assert marked is not None
    assert np.all(marked == -1)
