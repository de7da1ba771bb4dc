from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates, zoom

from goodfit.preprocessing.grid import axis_matrix, nearest_indices, source_positions

lengths = st.integers(1, 40)


@given(lengths, lengths, st.sampled_from([0, 1, 3]))
def test_matrix_does_what_scipys_zoom_does(n_in: int, n_out: int, order: int) -> None:
    signal = np.random.default_rng(n_in).normal(size=n_in)

    expected = zoom(signal, n_out / n_in, order=order, mode="nearest", grid_mode=True)

    np.testing.assert_allclose(axis_matrix(n_in, n_out, order) @ signal, expected, atol=2e-5)


@given(lengths, lengths, st.sampled_from([0, 1, 3]))
def test_rows_sum_to_one(n_in: int, n_out: int, order: int) -> None:
    matrix = axis_matrix(n_in, n_out, order)

    assert matrix.shape == (n_out, n_in)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)


@given(lengths, lengths)
def test_nearest_is_map_coordinates_of_order_zero(n_in: int, n_out: int) -> None:
    expected = map_coordinates(np.arange(n_in), source_positions(n_in, n_out)[None], order=0, mode="nearest")

    assert nearest_indices(n_in, n_out).tolist() == expected.tolist()


@pytest.mark.parametrize("order", [0, 1, 3])
def test_equal_lengths_give_the_identity(order: int) -> None:
    assert np.array_equal(axis_matrix(7, 7, order), np.eye(7))


def test_the_shared_matrix_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        axis_matrix(3, 5, 1)[0, 0] = 2
