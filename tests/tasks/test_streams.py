"""Tests of the keyed random streams."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from goodfit.tasks.streams import Purpose, stream

WORD = st.integers(0, 2**64 - 1)


@given(WORD, WORD)
def test_same_key_gives_same_numbers(seed: int, index: int) -> None:
    first = stream(Purpose.AUGMENTATION, seed, index).random(8)
    assert np.array_equal(first, stream(Purpose.AUGMENTATION, seed, index).random(8))


def test_purpose_seed_and_index_each_change_the_numbers() -> None:
    drawn = {
        tuple(stream(purpose, seed, index).random(4)) for purpose in Purpose for seed in range(4) for index in range(4)
    }
    assert len(drawn) == len(Purpose) * 16


def test_numbers_of_neighbouring_keys_are_uniform_and_unrelated() -> None:
    numbers = np.array([stream(Purpose.PATCH_POSITION, 0, index).random(2) for index in range(4000)])
    assert abs(numbers.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(numbers[:-1, 0], numbers[1:, 0])[0, 1]) < 0.06
    assert abs(np.corrcoef(numbers[:, 0], numbers[:, 1])[0, 1]) < 0.06
