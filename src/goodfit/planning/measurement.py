"""What is measured of one case while its files are in memory: geometry, crop, foreground intensities, classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.errors import DatasetError
from goodfit.preprocessing.crop import bounding_box, box_slices, nonzero_mask

if TYPE_CHECKING:
    import numpy.typing as npt

    from goodfit.data.readers import Image

MOST_VALUES = 10_000
"""Foreground intensities kept per case and channel, at most."""
FEWEST_VALUES = 256
ALL_VALUES = 20_000_000
"""Foreground intensities kept of the whole dataset, about (nnU-Net draws 10^8 at random)."""


@dataclass(frozen=True)
class ChannelMeasurement:
    """Foreground intensities of one channel of one case.

    Attributes:
        mean: of all foreground voxels.
        variance: of all foreground voxels.
        minimum: smallest.
        maximum: largest.
        values: equally spaced order statistics, ascending, float32: they stand for the distribution.
    """

    mean: float
    variance: float
    minimum: float
    maximum: float
    values: npt.NDArray[np.float32]


@dataclass(frozen=True)
class CaseMeasurement:
    """The measurements of one case; a few tens of kilobytes.

    Attributes:
        case: its name.
        spacing: (z, y, x) in mm.
        shape_before_crop: (z, y, x) in voxels.
        shape_after_crop: (z, y, x) in voxels.
        channels: foreground intensities per channel; empty when the case has no foreground.
        class_voxels: label value -> voxels, for every value but 0 that occurs.
    """

    case: str
    spacing: tuple[float, float, float]
    shape_before_crop: tuple[int, int, int]
    shape_after_crop: tuple[int, int, int]
    channels: tuple[ChannelMeasurement, ...]
    class_voxels: dict[int, int]

    @property
    def relative_size(self) -> float:
        """Voxels after the crop / voxels before."""
        return math.prod(self.shape_after_crop) / math.prod(self.shape_before_crop)


def values_per_case(cases: int) -> int:
    """How many intensities to keep of each case of a dataset, so that any dataset fits into memory."""
    return max(FEWEST_VALUES, min(MOST_VALUES, ALL_VALUES // max(1, cases)))


def measure_case(
    case: str, image: Image, label: npt.NDArray[np.integer[Any]], *, values: int = MOST_VALUES
) -> CaseMeasurement:
    """Measure one case. Pure and deterministic; safe to call from many threads.

    nnU-Net: every label value above 0, the ignore label included, counts as foreground; intensities are taken
    inside the crop. Where nnU-Net draws random foreground voxels, all of them enter here: the moments exactly,
    the distribution as ``values`` equally spaced order statistics.

    Args:
        case: name of the case.
        image: array (C, Z, Y, X) and geometry.
        label: (Z, Y, X) integers.
        values: intensities to keep per channel, see ``values_per_case``.

    Raises:
        DatasetError: image and label differ in shape, or a foreground intensity is NaN or infinite.
    """
    shape = image.array.shape[1:]
    if label.shape != shape:
        raise DatasetError(f"{case}: the label has shape {label.shape}, the image {shape}. Both must share one grid.")
    box = box_slices(bounding_box(nonzero_mask(image.array)))
    inside = label[box] > 0
    channels = []
    for index, channel in enumerate(image.array):
        foreground = channel[box][inside]
        if foreground.size:
            channels.append(_measure_channel(f"{case}, channel {index}", foreground, values))
    found, counts = np.unique(label[label != 0], return_counts=True)
    z, y, x = shape
    after_z, after_y, after_x = (edge.stop - edge.start for edge in box)
    return CaseMeasurement(
        case=case,
        spacing=image.geometry.spacing,
        shape_before_crop=(z, y, x),
        shape_after_crop=(after_z, after_y, after_x),
        channels=tuple(channels),
        class_voxels={int(value): int(count) for value, count in zip(found, counts, strict=True)},
    )


def _measure_channel(where: str, foreground: npt.NDArray[np.float32], values: int) -> ChannelMeasurement:
    """Summarise the foreground intensities; sorts them in place."""
    mean = float(foreground.mean(dtype=np.float64))
    if not math.isfinite(mean):
        raise DatasetError(f"{where}: the image holds NaN or infinite intensities. Repair or remove the case.")
    variance = float(foreground.var(dtype=np.float64))
    foreground.sort()
    ranks = (np.arange(values) + 0.5) * (foreground.size / values)
    return ChannelMeasurement(
        mean=mean,
        variance=variance,
        minimum=float(foreground[0]),
        maximum=float(foreground[-1]),
        values=foreground[ranks.astype(np.int64)],
    )
