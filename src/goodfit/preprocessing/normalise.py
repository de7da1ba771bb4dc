"""Intensity normalisation, channel by channel (nnU-Net: default_normalization_schemes)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from goodfit.errors import DatasetError

if TYPE_CHECKING:
    import numpy.typing as npt

    from goodfit.planning.plan import Data, IntensityStatistics

    Volume = npt.NDArray[np.float32]
    Mask = npt.NDArray[np.bool_]

STD_FLOOR = 1e-8
"""Smallest divisor, so that a constant image becomes zero and not infinite (nnU-Net: 1e-8)."""

RGB_MAXIMUM = 255.0

_RUN = 1024


def normalise(array: npt.NDArray[np.float32], data: Data, mask: Mask | None) -> None:
    """Normalise every channel as the plan says, in place.

    Args:
        array: (C, Z, Y, X) float32, already cropped.
        data: the plan's data section.
        mask: (Z, Y, X) nonzero mask with holes filled; may be None when no channel has ``use_mask``.

    Raises:
        DatasetError: a channel holds NaN or infinity, or an RGB channel values outside 0..255; or the number
            of channels is not that of the plan.
    """
    if len(array) != len(data.channels):
        raise DatasetError(
            f"the image has {len(array)} channels, the plan knows {len(data.channels)} ({', '.join(data.channels)}). "
            "Give every case all channels."
        )
    for index, volume in enumerate(array):
        name = data.channels[index]
        if not math.isfinite(float(volume.sum(dtype=np.float64))):
            raise DatasetError(f"channel {name} holds NaN or infinity. Replace those voxels, or leave the case out.")
        match data.normalisation[index]:
            case "ct":
                _ct(volume, data.intensities[index])
            case "zscore":
                _zscore(volume, mask if data.use_mask[index] else None)
            case "rescale":
                _rescale(volume)
            case "rgb":
                _rgb(volume, name)
            case "none":
                pass


def _ct(volume: Volume, statistics: IntensityStatistics) -> None:
    """Clip to the dataset's foreground percentiles, then subtract its mean and divide by its deviation."""
    np.clip(volume, statistics.percentile_00_5, statistics.percentile_99_5, out=volume)
    volume -= np.float32(statistics.mean)
    volume /= np.float32(max(statistics.std, STD_FLOOR))


def _zscore(volume: Volume, mask: Mask | None) -> None:
    """Give the case mean 0 and deviation 1; with a mask, inside it only, and what is outside stays as it is."""
    if mask is None:
        volume -= np.float32(volume.mean(dtype=np.float64))
        volume /= np.float32(max(_root_mean_square(volume), STD_FLOOR))
        return
    values = volume[mask]
    if values.size == 0:
        return
    values -= np.float32(values.mean(dtype=np.float64))
    values /= np.float32(max(_root_mean_square(values), STD_FLOOR))
    volume[mask] = values


def _rescale(volume: Volume) -> None:
    """Map the case's smallest value to 0 and its largest to 1."""
    volume -= volume.min()
    volume /= np.float32(max(float(volume.max()), STD_FLOOR))


def _root_mean_square(values: npt.NDArray[np.float32]) -> float:
    """Square root of the mean square: short runs are summed in single precision, their sums in double.

    A long sum in single precision would be off by 5e-5 of itself (measured on volumes of 400,000 voxels).
    """
    flat = values.reshape(-1)
    whole = flat.size - flat.size % _RUN
    runs = flat[:whole].reshape(-1, _RUN)
    total = float(np.einsum("ij,ij->i", runs, runs).sum(dtype=np.float64)) + float(np.vdot(flat[whole:], flat[whole:]))
    return math.sqrt(total / flat.size)


def _rgb(volume: Volume, name: str) -> None:
    low, high = float(volume.min()), float(volume.max())
    if low < 0 or high > RGB_MAXIMUM:
        raise DatasetError(
            f"channel {name} is planned as rgb (0 to 255) but holds values from {low:g} to {high:g}. "
            "Set another normalisation for it in plan.json."
        )
    volume /= np.float32(RGB_MAXIMUM)
