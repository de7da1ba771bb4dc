from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from goodfit.data.instances.masks import encode_mask
from goodfit.data.instances.rle import area_of, box_of, format_counts, parse_counts, runs_of

masks = arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@given(masks)
def test_runs_are_those_of_the_reference_encoder(mask):
    code = encode_mask(mask)
    runs = runs_of(code)
    assert format_counts(runs.tolist()) == code["counts"]
    drawn = np.repeat(np.arange(len(runs)) % 2, runs).reshape(mask.shape, order="F")
    np.testing.assert_array_equal(drawn, mask)


@given(masks)
def test_area_and_box_are_those_of_the_mask(mask):
    runs = runs_of(encode_mask(mask))
    ys, xs = np.nonzero(mask)
    assert area_of(runs) == len(xs)
    expected = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) if len(xs) else (0, 0, 0, 0)
    assert box_of(runs, mask.shape[0]) == expected


@given(st.lists(st.integers(0, 2**33), min_size=1, max_size=30))
def test_large_runs_survive_the_string(runs):
    assert parse_counts(format_counts(runs)).tolist() == runs
    assert parse_counts(format_counts(runs).encode()).tolist() == runs


@pytest.mark.parametrize(
    "counts",
    ["0€", "\x01", "P", "oooooooooo0", [3, -1], [1.5], None, 7, "O"],
    ids=["no ASCII", "below the alphabet", "cut off", "too long", "negative", "fraction", "none", "number", "minus"],
)
def test_damaged_counts_are_refused(counts):
    with pytest.raises(ValueError, match=r"run|counts"):
        parse_counts(counts)


def test_runs_must_fill_the_size():
    with pytest.raises(ValueError, match="cover 5 pixels, the mask has 2 x 3"):
        runs_of({"size": [2, 3], "counts": [2, 3]})
    with pytest.raises(ValueError, match="size"):
        runs_of({"counts": [2, 3]})


def test_empty_counts_have_no_runs():
    assert len(parse_counts("")) == 0
