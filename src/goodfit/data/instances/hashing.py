"""Perceptual hashes: frames that look alike have hashes that differ in few bits."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

NEAR = 8
"""Bits of 64 up to which two frames count as near duplicates: frames of different videos differ in about 32 with a
standard deviation of about 5; within real video sets, neighbours differ in 4 to 8, frames of other videos in 8 at
the least."""

_SIDE, _KEPT = 32, 8
_ROWS = 512


def perceptual_hash(image: npt.NDArray[np.uint8]) -> int:
    """Hash an image by its coarse structure (pHash).

    The image is reduced to 32 x 32 grey pixels; of its discrete cosine transform the lowest 8 x 8 coefficients each
    give a bit: above their median or not. Brightness, contrast, size and compression hardly matter.

    Args:
        image: (H, W, 3).

    Returns:
        A number of 64 bits.
    """
    from PIL import Image

    grey = Image.fromarray(image).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    pixels = np.asarray(grey, dtype=np.float64)
    cosines = _cosines()
    lowest = (cosines @ pixels @ cosines.T).ravel()
    # The first coefficient is the mean brightness: not structure, and it would shift the median.
    bits = lowest > np.median(lowest[1:])
    bits[0] = False
    # Flat images have noise of rounding only.
    bits &= np.abs(lowest) > 1e-6
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


@cache
def _cosines() -> npt.NDArray[np.float64]:
    frequency, place = np.arange(_KEPT)[:, None], np.arange(_SIDE)[None]
    return np.asarray(np.cos(np.pi * (2 * place + 1) * frequency / (2 * _SIDE)), dtype=np.float64)


def distance(a: int, b: int) -> int:
    """Count the bits in which two hashes differ, 0 to 64."""
    return (a ^ b).bit_count()


def near_pairs(
    first: Sequence[int], second: Sequence[int], most: int = NEAR
) -> Iterator[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Compare each hash of ``first`` with all of ``second``.

    Yields:
        Index in ``first``, the indices in ``second`` within ``most`` bits, and their distances; hashes without any
        are passed over.
    """
    rows, columns = np.asarray(first, dtype=np.uint64), np.asarray(second, dtype=np.uint64)
    if not len(columns):
        return
    for start in range(0, len(rows), _ROWS):
        distances = _bits(rows[start : start + _ROWS, None] ^ columns[None])
        for row in np.flatnonzero((distances <= most).any(axis=1)):
            near = np.flatnonzero(distances[row] <= most)
            yield start + int(row), near, distances[row, near]


def _bits(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Count the ones in each number, by summing neighbouring fields of bits."""
    one, two, four = (np.uint64(mask) for mask in (0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F))
    values = values - ((values >> np.uint64(1)) & one)
    values = (values & two) + ((values >> np.uint64(2)) & two)
    values = (values + (values >> np.uint64(4))) & four
    return ((values * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.int64)
