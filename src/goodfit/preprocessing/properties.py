"""What was done to a case on its way into the store: enough to bring a prediction back to the file's grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.data.geometry import Geometry
from goodfit.preprocessing.crop import Box, box_slices

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class CaseProperties:
    """Geometry and shapes of one case.

    Attributes:
        geometry: of the image file.
        transpose: permutation of (z, y, x); everything below is in the order it gives.
        shape_before_crop: voxels of the whole image.
        bbox: the box that was kept.
        shape_after_crop: voxels of that box.
        shape: voxels once resampled; the shape of the stored arrays.
        spacing: mm per voxel once resampled, as planned.
    """

    geometry: Geometry
    transpose: tuple[int, int, int]
    shape_before_crop: Shape
    bbox: Box
    shape_after_crop: Shape
    shape: Shape
    spacing: Spacing

    @property
    def spacing_before(self) -> Spacing:
        """Voxel size in mm before resampling, in transposed order."""
        return permuted(self.geometry.spacing, self.transpose)

    @property
    def resampled(self) -> bool:
        """Whether resampling changed the arrays."""
        return self.shape != self.shape_after_crop

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as plain values for JSON."""
        return {
            "geometry": self.geometry.to_dict(),
            "transpose": list(self.transpose),
            "shape_before_crop": list(self.shape_before_crop),
            "bbox": [list(ends) for ends in self.bbox],
            "shape_after_crop": list(self.shape_after_crop),
            "shape": list(self.shape),
            "spacing": list(self.spacing),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> CaseProperties:
        """Rebuild the properties from ``to_dict``'s result."""
        (z0, z1), (y0, y1), (x0, x1) = value["bbox"]
        return cls(
            geometry=Geometry.from_dict(value["geometry"]),
            transpose=_shape(value["transpose"]),
            shape_before_crop=_shape(value["shape_before_crop"]),
            bbox=((int(z0), int(z1)), (int(y0), int(y1)), (int(x0), int(x1))),
            shape_after_crop=_shape(value["shape_after_crop"]),
            shape=_shape(value["shape"]),
            spacing=spacing_of(value["spacing"]),
        )


def place_back(array: npt.NDArray[Any], properties: CaseProperties, fill: float = 0) -> npt.NDArray[Any]:
    """Put an array on the grid of the box back into the grid of the file: undo crop, then transpose.

    Args:
        array: (..., Z, Y, X) with the last three axes of ``properties.shape_after_crop``.
        properties: of the case.
        fill: value outside the box.

    Returns:
        (..., Z, Y, X) in the file's own axis order, a new array.
    """
    leading = array.shape[:-3]
    whole = np.full((*leading, *properties.shape_before_crop), fill, dtype=array.dtype)
    whole[(..., *box_slices(properties.bbox))] = array
    count = len(leading)
    inverse = [count + properties.transpose.index(axis) for axis in range(3)]
    return np.ascontiguousarray(whole.transpose(*range(count), *inverse))


def permuted(spacing: Spacing, transpose: tuple[int, ...]) -> Spacing:
    """Give the spacing of an array that was transposed by ``transpose``."""
    return (spacing[transpose[0]], spacing[transpose[1]], spacing[transpose[2]])


def spacing_of(values: Iterable[float]) -> Spacing:
    """Three numbers as a spacing."""
    z, y, x = (float(value) for value in values)
    return (z, y, x)


def _shape(values: Iterable[int]) -> Shape:
    z, y, x = (int(value) for value in values)
    return (z, y, x)
