"""Random numbers that are a pure function of what they are for: no state to save, none to restore."""

from __future__ import annotations

import enum

import numpy as np


class Purpose(enum.IntEnum):
    """What a stream is drawn for; streams of different purposes never overlap."""

    CASE_ORDER = 1
    PATCH_POSITION = 2
    AUGMENTATION = 3
    PREVIOUS_STAGE = 4


def stream(purpose: Purpose, seed: int, index: int) -> np.random.Generator:
    """Give the generator of ``(purpose, seed, index)``.

    Philox is a counter-based generator: the key is (seed, index), and the purpose is put into the highest
    word of the counter, which no amount of drawing reaches.

    Args:
        purpose: what the numbers are for.
        seed: seed of the run, 0 to 2**64 - 1.
        index: step, position or pass, 0 to 2**64 - 1.
    """
    key = np.array([seed, index], dtype=np.uint64)
    counter = np.array([0, 0, 0, int(purpose)], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
