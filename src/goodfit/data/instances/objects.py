"""Making an instance of one entry of "annotations": its box clipped, its mask validated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.data.instances import kinds, rle
from goodfit.data.instances.model import Instance
from goodfit.data.instances.polygons import polygon_area

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from goodfit.data.instances.findings import Kind
    from goodfit.data.instances.model import Box, Segmentation

    Note = Callable[[Kind, str], None]

_ROUNDING = 1e-6


@dataclass(frozen=True)
class Mask:
    """A segmentation and what is known of it without drawing it.

    Attributes:
        segmentation: polygons, or compressed RLE.
        box: around it, not clipped.
        area: pixels; parts of polygons that overlap count twice.
    """

    segmentation: Segmentation
    box: Box
    area: float


def make_instance(
    entry: dict[str, Any], category: int, size: tuple[int, int], track: int | None, note: Note
) -> Instance | None:
    """Make an instance.

    Args:
        entry: of "annotations".
        category: 1..K.
        size: height and width of the image.
        track: identity, where given.
        note: called with kind and example of each problem.

    Returns:
        The instance, or None where nothing of it is left.
    """
    which = f"annotation {entry.get('id', '?')}"
    mask = read_mask(entry.get("segmentation"), size, lambda kind, what: note(kind, f"{which}{what}"))
    box = _box(entry.get("bbox"), mask, size, which, note)
    if box is None:
        return None
    if mask is not None and _is_off(box, _clipped(mask.box, size)):
        note(kinds.BOX_OFF_MASK, which)
    return Instance(
        category=category,
        box=box,
        segmentation=mask.segmentation if mask is not None else None,
        area=_area(entry.get("area"), mask, box, which, note),
        crowd=entry.get("iscrowd") in (1, True, "1"),
        track=track,
    )


def _area(given: Any, mask: Mask | None, box: Box, which: str, note: Note) -> float:
    """Take the area given, which decides what is small in COCO's scores, unless it is far from the mask's own."""
    area = mask.area if mask is not None else (box[2] - box[0]) * (box[3] - box[1])
    if not _is_number(given):
        return area
    if abs(given - area) <= max(0.1 * area, 20):
        return float(given)
    if mask is not None:
        note(kinds.WRONG_AREA, f"{which} (given {given:g}, mask {area:g})")
    return area


def read_mask(value: Any, size: tuple[int, int], note: Note) -> Mask | None:
    """Validate polygons or an RLE; None where there is none that can be used.

    Args:
        value: "segmentation" of an annotation.
        size: height and width of the image.
        note: called with the kind of each problem, and " (details)" or "".
    """
    if value is None or value in ([], "", {}):
        return None
    if isinstance(value, dict):
        return _run_lengths(value, size, note)
    if isinstance(value, list):
        # One polygon without the list around it.
        return _polygons([value] if _is_number(value[0]) else value, size, note)
    note(kinds.BROKEN_MASK, f" ({type(value).__name__})")
    return None


def _run_lengths(value: dict[str, Any], size: tuple[int, int], note: Note) -> Mask | None:
    try:
        runs = rle.runs_of(value)
    except ValueError as error:
        note(kinds.RLE_DAMAGED, f" ({error})")
        return None
    if tuple(value["size"]) != size:
        swapped = " (height and width are swapped)" if tuple(value["size"][::-1]) == size else ""
        note(kinds.RLE_SIZE, swapped or f" ({value['size'][0]} x {value['size'][1]}, image {size[0]} x {size[1]})")
        return None
    area = rle.area_of(runs)
    if not area:
        note(kinds.EMPTY_MASK, "")
        return None
    counts = value["counts"]
    if isinstance(counts, list):
        counts = rle.format_counts(counts)
    elif isinstance(counts, bytes):
        counts = counts.decode("ascii")
    x0, y0, x1, y1 = rle.box_of(runs, size[0])
    return Mask({"size": list(size), "counts": counts}, (float(x0), float(y0), float(x1), float(y1)), float(area))


def _polygons(value: list[Any], size: tuple[int, int], note: Note) -> Mask | None:
    kept: list[npt.NDArray[np.float64]] = []
    area = 0.0
    for flat in value:
        coordinates = _coordinates(flat)
        if coordinates is None:
            note(kinds.BROKEN_MASK, "")
            continue
        part = polygon_area(coordinates) if len(coordinates) >= 6 else 0.0
        if not part:
            note(kinds.EMPTY_POLYGON, "")
            continue
        kept.append(coordinates)
        area += part
    if not kept:
        return None
    points = np.concatenate(kept).reshape(-1, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    beyond = _beyond(box, size)
    if beyond > _ROUNDING:
        note(kinds.POLYGON_OUTSIDE, f" ({beyond:.3g} pixels)")
    return Mask([coordinates.tolist() for coordinates in kept], box, area)


def _coordinates(flat: Any) -> npt.NDArray[np.float64] | None:
    """Read pairs of finite numbers; None where they are something else."""
    if not isinstance(flat, list) or len(flat) % 2:
        return None
    try:
        array = np.array(flat)
    except ValueError:  # lists of unequal lengths in it
        return None
    if array.ndim != 1 or (array.dtype.kind not in "if" and len(flat)) or not np.isfinite(array).all():
        return None
    return array.astype(np.float64)


def _box(value: Any, mask: Mask | None, size: tuple[int, int], which: str, note: Note) -> Box | None:
    """Read [x, y, width, height] as a clipped (x0, y0, x1, y1); the mask's box where there is none."""
    if value in (None, []) and mask is not None:
        box = mask.box
    elif isinstance(value, list | tuple) and len(value) == 4 and all(_is_number(item) for item in value):
        x, y, width, height = value
        box = (float(x), float(y), float(x + width), float(y + height))
    else:
        note(kinds.BROKEN_BOX, f"{which} ({value!r:.60})")
        return None
    if min(box[2] - box[0], box[3] - box[1]) <= 0:
        if mask is None:
            note(kinds.BOX_EMPTY, which)
            return None
        note(kinds.BOX_OFF_MASK, which)
        box = mask.box
    clipped = _clipped(box, size)
    inside = max(0.0, clipped[2] - clipped[0]) * max(0.0, clipped[3] - clipped[1])
    beyond = _beyond(box, size)
    if inside < 0.5 * (box[2] - box[0]) * (box[3] - box[1]) and beyond > 1:
        note(kinds.BOX_OUTSIDE, f"{which} (by {beyond:.3g} pixels)")
    elif beyond > _ROUNDING:
        note(kinds.BOX_OVER_EDGE, f"{which} (by {beyond:.3g} pixels)")
    if inside <= 0:
        if beyond <= 1:
            note(kinds.BOX_EMPTY, which)
        return None
    return clipped


def _clipped(box: Box, size: tuple[int, int]) -> Box:
    height, width = size
    return (max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height)))


def _beyond(box: Box, size: tuple[int, int]) -> float:
    """Pixels by which a box reaches beyond the image."""
    return max(-box[0], -box[1], box[2] - size[1], box[3] - size[0], 0.0)


def _is_off(box: Box, other: Box) -> bool:
    """Whether two boxes differ by more than rounding and outlines drawn by hand do: 3 pixels and a tenth of a side."""
    sides = (other[2] - other[0], other[3] - other[1]) * 2
    return any(abs(a - b) > max(3.0, 0.1 * side) for a, b, side in zip(box, other, sides, strict=True))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
