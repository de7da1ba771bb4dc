from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import zoom

from goodfit.preprocessing import vote as vote_module
from goodfit.preprocessing.vote import vote

if TYPE_CHECKING:
    import pytest

labels = hnp.arrays(
    np.int16,
    hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7),
    elements=st.integers(-1, 4),
)
shapes = st.tuples(*[st.integers(1, 9)] * 3)


def _shares(label: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate each value's indicator in double precision: the definition, done the slow way."""
    values = np.unique(label)
    factors = np.divide(shape, label.shape)
    indicators = [(label == value).astype(float) for value in values]
    shares = [zoom(one, factors, order=1, mode="nearest", grid_mode=True) for one in indicators]
    return values, np.stack(shares)


@given(labels, shapes)
def test_every_voxel_gets_a_label_of_the_largest_share(label: np.ndarray, shape: tuple[int, int, int]) -> None:
    values, shares = _shares(label, shape)

    result = vote(label, shape)

    chosen = np.take_along_axis(shares, np.searchsorted(values, result)[None], axis=0)[0]
    np.testing.assert_allclose(chosen, shares.max(axis=0), atol=1e-8)


@given(labels, shapes)
def test_no_new_label_appears(label: np.ndarray, shape: tuple[int, int, int]) -> None:
    result = vote(label, shape)

    assert result.dtype == label.dtype
    assert result.shape == shape
    assert set(np.unique(result)) <= set(np.unique(label))


@given(labels)
def test_the_same_shape_changes_nothing(label: np.ndarray) -> None:
    assert np.array_equal(vote(label, label.shape), label)


def test_a_tie_goes_to_the_nearest_voxel_on_either_side() -> None:
    # Halving: each new voxel lies in the middle of two, and scipy's nearest is then the later one.
    for first, second in ((1, 2), (2, 1)):
        label = np.array([first, second], dtype=np.int16).reshape(1, 1, 2)
        assert vote(label, (1, 1, 1)).item() == second


def test_a_tie_that_the_nearest_voxel_lost_goes_to_the_smallest_label() -> None:
    # At the centre labels 1 and 2 hold 3/8 each; the nearest voxel, the last, holds a 3.
    label = np.array([3, 1, 1, 1, 2, 2, 2, 3], dtype=np.int16).reshape(2, 2, 2)

    assert vote(label, (1, 1, 1)).item() == 1


def test_work_in_pieces_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    label = np.random.default_rng(0).integers(0, 5, (9, 10, 11)).astype(np.int16)
    whole = vote(label, (13, 8, 15))
    monkeypatch.setattr(vote_module, "_SLAB_VOXELS", 200)
    monkeypatch.setattr(vote_module, "_VOTE_VOXELS", 37)

    assert np.array_equal(vote(label, (13, 8, 15)), whole)
