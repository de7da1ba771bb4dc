"""What dataset.json would say, taken from the files themselves (plain layout)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from goodfit.data.labels import Labels
from goodfit.data.readers import read_image, read_label
from goodfit.errors import DatasetError, ImageFileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_CASES_READ = 5


def infer_labels(files: Sequence[Path], root: Path) -> Labels:
    """Read label files for the values they hold; the classes are named after them ("1", "2", ...).

    Unreadable files are passed over here; the check reports them.

    Args:
        files: label files.
        root: the dataset folder, for the message.

    Raises:
        DatasetError: no file holds any value above 0.
    """

    def values_of(file: Path) -> set[int]:
        try:
            return {int(value) for value in np.unique(read_label(file)[0])}
        except ImageFileError:
            return set()

    with ThreadPoolExecutor() as pool:
        found = set().union(*pool.map(values_of, files))
    values = sorted(value for value in found if value > 0)
    if not values:
        raise DatasetError(f"{root / 'labels'}: no label file holds a class (a value above 0).")
    return Labels(classes={str(value): (value,) for value in values})


def infer_channels(cases: Sequence[tuple[Path, ...]]) -> tuple[str, ...]:
    """Name the channels after those of the first few cases: R, G, B for colour images, else their numbers.

    Several cases are read, since a grey image may be found among colour images.

    Raises:
        DatasetError: none can be read; with the reason for the first.
    """
    counts: list[int] = []
    reason: DatasetError | None = None
    for files in cases:
        try:
            counts.append(read_image(files).array.shape[0])
        except DatasetError as error:
            reason = reason or error
        if len(counts) == _CASES_READ:
            break
    if not counts:
        raise reason or DatasetError("there is no image to read.")
    if max(counts) == 3 and all(len(files) == 1 for files in cases):
        return ("R", "G", "B")
    return tuple(str(index) for index in range(max(counts)))
