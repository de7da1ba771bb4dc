"""Where in a case a training patch lies, and cutting it out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from goodfit.preprocessing.locations import ANNOTATED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import numpy.typing as npt


class Sliceable(Protocol):
    """An array that can give a part of itself without being read whole: blosc2.NDArray, numpy.ndarray."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    def __getitem__(self, key: Any, /) -> Any:
        """The part as a numpy array."""


def is_foreground_position(position: int, batch_size: int, oversample: float) -> bool:
    """Whether this position of the batch is centred on foreground: the last ones are (nnU-Net)."""
    return position >= round(batch_size * (1 - oversample))


def choose_start(
    generator: np.random.Generator,
    shape: Sequence[int],
    size: Sequence[int],
    final: Sequence[int],
    locations: Mapping[int, npt.NDArray[np.int32]],
) -> tuple[int, ...]:
    """Choose the first voxel of a crop (nnU-Net: nnUNetDataLoader.get_bbox).

    Without ``locations`` the crop lies anywhere such that the final patch in its middle stays inside the
    case, or the crop covers the case where that is smaller. With ``locations`` a class of those present is
    chosen, then one of its voxels, and the crop is centred on it, but not moved past the lower bound. Where
    no class is present, an annotated voxel is the centre if such are listed.

    Args:
        generator: source of the choice.
        shape: size of the case.
        size: size of the crop.
        final: size of the patch in the middle of the crop.
        locations: class -> (n, 3) voxel coordinates; ``ANNOTATED`` -> voxels without ignore label. Empty
            for a crop anywhere.

    Returns:
        One start per axis; negative where the crop overhangs the case.
    """
    lows, highs = [], []
    for length, crop, patch in zip(shape, size, final, strict=True):
        overhang = max(crop - patch, crop - length)
        lows.append(-overhang // 2)
        highs.append(length + (overhang + 1) // 2 - crop)
    present = [key for key, voxels in sorted(locations.items()) if len(voxels)]
    classes = [key for key in present if key != ANNOTATED] or present
    if not classes:
        return tuple(int(generator.integers(low, high + 1)) for low, high in zip(lows, highs, strict=True))
    voxels = locations[classes[int(generator.integers(len(classes)))]]
    centre = voxels[int(generator.integers(len(voxels)))].tolist()
    return tuple(max(low, at - crop // 2) for low, at, crop in zip(lows, centre, size, strict=True))


def copy_crop(source: Sliceable, start: Sequence[int], out: npt.NDArray[Any]) -> None:
    """Copy the part of ``source`` that a crop shows; where the crop overhangs, ``out`` stays as it is.

    Args:
        source: (C, *shape).
        start: first voxel of the crop per spatial axis, may be negative.
        out: (C, *size), filled with the padding value.
    """
    read, write = [slice(None)], [slice(None)]
    for first, length, size in zip(start, source.shape[1:], out.shape[1:], strict=True):
        low, high = max(first, 0), min(first + size, length)
        if low >= high:
            return
        read.append(slice(low, high))
        write.append(slice(low - first, high - first))
    out[tuple(write)] = source[tuple(read)]
