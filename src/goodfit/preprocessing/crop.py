"""The part of a case that holds anything: its box, and the mask of what is not background by construction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Mask = npt.NDArray[np.bool_]

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""First and one past the last index along each of the three axes."""

OUTSIDE = -1
"""Label value of unlabelled voxels outside the nonzero mask (nnU-Net: nonzero_label)."""

_SMALLEST_WITH_INSIDE = 3
"""An axis shorter than this has no voxel that does not touch the border."""


def nonzero_mask(array: Array) -> Mask:
    """Tell where any channel differs from zero.

    Args:
        array: (C, Z, Y, X).

    Returns:
        (Z, Y, X) bool.
    """
    mask: Mask = array[0] != 0
    for channel in array[1:]:
        mask |= channel != 0
    return mask


def bounding_box(mask: Mask) -> Box:
    """Give the smallest box with every true voxel of a (Z, Y, X) mask; the whole volume where none is true."""
    profiles: list[Mask] = [np.any(mask, axis=others) for others in ((1, 2), (0, 2), (0, 1))]
    if not profiles[0].any():
        return ((0, mask.shape[0]), (0, mask.shape[1]), (0, mask.shape[2]))
    (z0, z1), (y0, y1), (x0, x1) = (_ends(profile) for profile in profiles)
    return ((z0, z1), (y0, y1), (x0, x1))


def box_slices(box: Box) -> tuple[slice, slice, slice]:
    """Give the index that cuts ``box`` out of a (Z, Y, X) array."""
    return (slice(*box[0]), slice(*box[1]), slice(*box[2]))


def fill_holes(mask: Mask) -> Mask:
    """Add the background that the mask encloses.

    A hole is background that no path of face neighbours joins to the border of the volume (nnU-Net: scipy's
    binary_fill_holes; connected components give the same at a fraction of the time). In a volume of one
    slice every voxel touches the border, so nothing is filled.

    Args:
        mask: (Z, Y, X) bool; it may be the cut-out of the bounding box, since what surrounds the box is
            background joined to the border.

    Returns:
        A new mask, or ``mask`` itself where there is nothing to fill.
    """
    if min(mask.shape) < _SMALLEST_WITH_INSIDE or mask.all():
        return mask
    import cc3d

    components: npt.NDArray[Any] = cc3d.connected_components(~mask, connectivity=6)
    is_hole = np.ones(int(components.max()) + 1, dtype=bool)
    for axis in range(3):
        for end in (0, -1):
            is_hole[np.take(components, end, axis=axis)] = False
    # Component 0 is the mask itself.
    is_hole[0] = False
    if not is_hole.any():
        return mask
    filled: Mask = mask | is_hole[components]
    return filled


def mark_outside(label: Array, mask: Mask) -> None:
    """Write ``OUTSIDE`` into a signed (Z, Y, X) label, in place, where it is 0 and the mask is false."""
    label[(label == 0) & ~mask] = OUTSIDE


def _ends(profile: npt.NDArray[np.bool_]) -> tuple[int, int]:
    indices = np.flatnonzero(profile)
    return int(indices[0]), int(indices[-1]) + 1
