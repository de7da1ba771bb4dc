"""Where the voxels of a file lie in space, and an image with its geometry."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

FLAT_SPACING = 999.0
"""Spacing along z given to 2D images, so that no rule ever resamples along it (nnU-Net: 999)."""


@dataclass(frozen=True)
class Geometry:
    """Spacing, origin and direction of one file.

    Attributes:
        spacing: voxel size in mm, ordered (z, y, x); z is 999 for a 2D file.
        origin: position in mm of the first voxel, in the file's own order (x, y[, z]).
        direction: direction cosines, row by row, in the file's own order: 4 numbers in 2D, 9 in 3D.
        dims: number of axes of the file.
    """

    spacing: tuple[float, float, float]
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    dims: Literal[2, 3]

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Geometry:
        """Rebuild a geometry from ``to_dict``'s result."""
        z, y, x = (float(number) for number in value["spacing"])
        return cls(
            spacing=(z, y, x),
            origin=tuple(float(number) for number in value["origin"]),
            direction=tuple(float(number) for number in value["direction"]),
            dims=cast("Literal[2, 3]", int(value["dims"])),
        )


@dataclass(frozen=True)
class Image:
    """The channels of one case.

    Attributes:
        array: (C, Z, Y, X) float32; Z is 1 for 2D images.
        geometry: as the first file says.
    """

    array: npt.NDArray[np.float32]
    geometry: Geometry


def geometry_differences(first: Geometry, second: Geometry) -> list[str]:
    """Say in which ways two geometries differ by more than rounding.

    Tolerances: spacing 0.1 %, direction cosines 0.001, origin a tenth of the smallest voxel side.
    """
    if first.dims != second.dims:
        return [f"one is {first.dims}D, the other {second.dims}D"]
    differences = []
    mine, theirs = first.spacing[3 - first.dims :], second.spacing[3 - first.dims :]
    if any(abs(a - b) > 1e-3 * max(a, b) for a, b in zip(mine, theirs, strict=True)):
        differences.append(f"spacing {_numbers(mine)} against {_numbers(theirs)} mm (z, y, x)")
    if any(abs(a - b) > 0.1 * min(mine) for a, b in zip(first.origin, second.origin, strict=True)):
        differences.append(f"origin {_numbers(first.origin)} against {_numbers(second.origin)} mm")
    if any(abs(a - b) > 1e-3 for a, b in zip(first.direction, second.direction, strict=True)):
        differences.append(f"direction {_numbers(first.direction)} against {_numbers(second.direction)}")
    return differences


def _numbers(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
