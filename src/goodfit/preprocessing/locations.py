"""Where each class lies, so that a patch can be centred on it without reading the label."""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from goodfit.data.labels import Labels

    Locations = dict[int, npt.NDArray[np.int32]]

ANNOTATED = -1
"""Key of the voxels that are not ignored; there only when the dataset has an ignore label."""

MOST_LOCATIONS = 10000
"""Voxels kept of a class (nnU-Net: min_num_samples) ..."""

LEAST_SHARE = 0.01
"""... but at least this share of them (nnU-Net: min_percent_coverage)."""


def find_locations(label: npt.NDArray[Any], labels: Labels, name: str) -> Locations:
    """Draw voxels of each class, at random but the same for the same case.

    Args:
        label: (1, Z, Y, X) or (Z, Y, X) integers as they go into the store.
        labels: the classes.
        name: name of the case; seeds the draw.

    Returns:
        (n, 3) int32 indices (z, y, x), in the order of the voxels; n is 0 where the class is absent. Keys: the
        label value of a plain class; the index (from 0, in the order of ``labels.classes``) of a region; and
        ``ANNOTATED``.
    """
    volume = label.reshape(label.shape[-3:])
    random = np.random.default_rng(zlib.crc32(name.encode()))
    flat = volume.reshape(-1)
    foreground = np.flatnonzero(flat > 0)
    values = flat[foreground]
    locations: Locations = {}
    for index, wanted in enumerate(labels.classes.values()):
        chosen = foreground[np.isin(values, wanted) if len(wanted) > 1 else values == wanted[0]]
        locations[index if labels.has_regions else wanted[0]] = _draw(chosen, volume.shape, random)
    if labels.ignore is not None:
        locations[ANNOTATED] = _draw(np.flatnonzero(flat != labels.ignore), volume.shape, random)
    return locations


def _draw(flat: npt.NDArray[np.intp], shape: tuple[int, ...], random: np.random.Generator) -> npt.NDArray[np.int32]:
    count = max(min(MOST_LOCATIONS, len(flat)), math.ceil(len(flat) * LEAST_SHARE))
    if count < len(flat):
        flat = np.sort(random.choice(flat, count, replace=False, shuffle=False))
    return np.stack(np.unravel_index(flat, shape), axis=1).astype(np.int32)
