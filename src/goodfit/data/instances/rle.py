"""COCO's run-length encoding: the runs behind the string, and what can be told from them without a mask.

A mask (H, W) is read column by column as runs of zeros and ones in turn, zeros first. The compressed string writes
each run, from the fourth on as its difference from the run two before, in groups of 5 bits (lowest first, bit 5 set
where more follow, the highest bit of the last group as sign) as characters from "0" on. (COCO API, maskApi.c.)
Checked here, since the library trusts the string and would write beyond the mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Runs = npt.NDArray[np.int64]

_MOST_GROUPS = 8
"""5-bit groups of one number: 40 bits are more than any image has pixels."""


def parse_counts(counts: object) -> Runs:
    """Read the runs of compressed (str, bytes) or uncompressed (list of integers) counts.

    Raises:
        ValueError: they are neither, or a run is negative.
    """
    if isinstance(counts, str | bytes):
        runs = _parse_string(counts)
    elif isinstance(counts, list) and all(isinstance(run, int) and not isinstance(run, bool) for run in counts):
        runs = np.asarray(counts, dtype=np.int64)
    else:
        raise ValueError("counts are neither a string nor a list of whole numbers")
    if (runs < 0).any():
        raise ValueError("a run is negative")
    return runs


def _parse_string(text: str | bytes) -> Runs:
    try:
        raw = text.encode("ascii") if isinstance(text, str) else text
    except UnicodeEncodeError as error:
        raise ValueError("counts hold characters that no run-length code has") from error
    if not raw:
        return np.zeros(0, dtype=np.int64)
    codes = np.frombuffer(raw, dtype=np.uint8).astype(np.int64) - 48
    if codes.min() < 0 or codes.max() > 63 or codes[-1] & 0x20:
        raise ValueError("counts are no run-length code, or are cut off")
    last = np.flatnonzero(codes & 0x20 == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    lengths = last - first + 1
    if lengths.max() > _MOST_GROUPS:
        raise ValueError("counts hold a number that is too large")
    place = np.arange(len(codes)) - np.repeat(first, lengths)
    values = np.add.reduceat((codes & 0x1F) << (5 * place), first)
    values -= (codes[last] & 0x10 > 0) * (np.int64(1) << (5 * lengths))
    # From the fourth run on differences, for runs of zeros and of ones apart.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def format_counts(runs: Sequence[int]) -> str:
    """Write runs as COCO's compressed string."""
    characters = []
    for index, run in enumerate(runs):
        value = int(run) - (int(runs[index - 2]) if index > 2 else 0)
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            characters.append(chr((bits | (0x20 if more else 0)) + 48))
    return "".join(characters)


def runs_of(segmentation: dict[str, Any]) -> Runs:
    """Read the runs of an RLE dict and make sure that they fill its size exactly.

    Raises:
        ValueError: size or counts are not what they should be.
    """
    size = segmentation.get("size")
    if not (isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(side, int) for side in size)):
        raise ValueError("size is not [height, width]")
    runs = parse_counts(segmentation.get("counts"))
    if int(runs.sum()) != size[0] * size[1]:
        raise ValueError(f"the runs cover {int(runs.sum())} pixels, the mask has {size[0]} x {size[1]}")
    return runs


def area_of(runs: Runs) -> int:
    """Count the pixels of the mask."""
    return int(runs[1::2].sum())


def box_of(runs: Runs, height: int) -> tuple[int, int, int, int]:
    """Find the smallest box (x0, y0, x1, y1), ends exclusive, around the ones; all zeros for an empty mask."""
    ends = np.cumsum(runs)[1::2]
    length = runs[1::2]
    ends, length = ends[length > 0], length[length > 0]
    if not len(ends):
        return (0, 0, 0, 0)
    starts = ends - length
    left, right = starts // height, (ends - 1) // height
    whole = left != right  # a run over a column's end touches the lower and the upper edge
    top = np.where(whole, 0, starts % height)
    bottom = np.where(whole, height - 1, (ends - 1) % height)
    return (int(left.min()), int(top.min()), int(right.max()) + 1, int(bottom.max()) + 1)
