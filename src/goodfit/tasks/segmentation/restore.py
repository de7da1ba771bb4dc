"""From logits in preprocessed space to labels in the geometry of the file, slab by slab.

nnU-Net resamples the logits (linearly; an axis of long voxels by its nearest neighbour), takes the best class and
undoes the crop and the transpose. The same is done here with a few planes at a time: all that is kept is the label
volume, one or two bytes per voxel.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.nn.functional import interpolate

from goodfit.preprocessing.crop import box_slices
from goodfit.preprocessing.grid import nearest_indices, source_positions
from goodfit.preprocessing.resample import separate_axis

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt
    from torch import Tensor

    from goodfit.data.labels import Labels
    from goodfit.preprocessing.properties import CaseProperties, Shape

    LabelArray = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    """(Z, Y, X) label values."""

_VALUES_PER_CHUNK = 2**23
_HALF = 0.5


class Restored(NamedTuple):
    """A prediction on the grid of the file.

    Attributes:
        labels: (Z, Y, X), 0 outside the crop; uint8, or uint16 with label values above 255.
        probabilities: (K, Z, Y, X) float16, or None. Outside the crop the background has probability 1, a region 0
            (nnU-Net).
    """

    labels: LabelArray
    probabilities: npt.NDArray[np.float16] | None


def labels_of(logits: Tensor, labels: Labels) -> Tensor:
    """Decide the label of each voxel.

    Plain labels: the class with the largest logit, the first of equals. Regions: every region whose sigmoid is
    above 0.5 writes its label, later regions over earlier ones (nnU-Net: regions_class_order).

    Args:
        logits: (K, \\*shape).
        labels: the classes.

    Returns:
        (\\*shape) label values, uint8 where they fit and int32 otherwise.
    """
    kind = torch.uint8 if max(_written_values(labels)) <= np.iinfo(np.uint8).max else torch.int32
    if not labels.has_regions:
        table = torch.tensor(_written_values(labels), dtype=kind, device=logits.device)
        return table[logits.max(0).indices]
    result = torch.zeros(logits.shape[1:], dtype=kind, device=logits.device)
    for region, value in zip(logits, _written_values(labels)[1:], strict=True):
        result.masked_fill_(region > 0, value)
    return result


def probabilities_of(logits: Tensor, labels: Labels) -> Tensor:
    """Softmax over (K, \\*shape), or with regions the sigmoid of each."""
    return logits.sigmoid() if labels.has_regions else logits.softmax(0)


def labels_of_probabilities(probabilities: npt.NDArray[Any], labels: Labels) -> LabelArray:
    """Decide the label of each voxel as ``labels_of`` does, from probabilities (nnU-Net: regions above 0.5).

    Args:
        probabilities: (K, Z, Y, X) floats.
        labels: the classes.

    Returns:
        (Z, Y, X) label values, uint8, or uint16 with values above 255.
    """
    written = _written_values(labels)
    kind = _kind(labels)
    result: npt.NDArray[Any] = np.zeros(probabilities.shape[1:], dtype=kind)
    if labels.has_regions:
        for region, value in zip(probabilities, written[1:], strict=True):
            result[region > _HALF] = value
        return result
    table = np.array(written, dtype=kind)
    for plane, chances in zip(result, probabilities.swapaxes(0, 1), strict=True):
        plane[:] = table[chances.argmax(0)]
    return result


def restore_probabilities(
    slabs: Iterable[tuple[int, Tensor]],
    properties: CaseProperties,
    labels: Labels,
    total: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]:
    """Make probabilities on the grid of the file from logits, and add them to a sum of several models.

    Args:
        slabs: logits in order (``inference.SlidingWindow.slabs``).
        properties: what preprocessing did to the case.
        labels: the classes.
        total: (K, Z, Y, X) that is added to in place; None begins with zeros.

    Returns:
        The sum, (K, Z, Y, X). Outside the crop the background has probability 1, a region 0 (nnU-Net).
    """
    whole, box = _canvas((labels.outputs,), properties, np.float32, total)
    if not labels.has_regions:
        outside, inside = _canvas((), properties, np.bool_)
        outside[:] = True
        inside[:] = False
        whole[0][outside] += 1
    separate = separate_axis(properties.spacing, properties.spacing_before)
    for start, logits in resample_slabs(slabs, properties.shape, properties.shape_after_crop, separate):
        box[:, start : start + logits.shape[1]] += probabilities_of(logits, labels).cpu().numpy()
    return whole


def resample_slabs(
    slabs: Iterable[tuple[int, Tensor]], shape_from: Shape, shape_to: Shape, separate: int | None
) -> Iterator[tuple[int, Tensor]]:
    """Resample a volume that arrives in slabs: linearly, the separate axis by its nearest neighbour.

    Args:
        slabs: (first plane, (K, depth, Y, X)) in order, together of ``shape_from``; a slab may be overwritten as
            soon as the next is asked for.
        shape_from: (Z, Y, X) of the volume that arrives.
        shape_to: (Z, Y, X) of the volume that leaves.
        separate: axis that is not interpolated, or None (``preprocessing.resample.separate_axis``).

    Yields:
        (first plane, (K, depth, *shape_to[1:])) in order, in small chunks.
    """
    if shape_from == shape_to:
        for start, slab in slabs:
            yield from _chunks(start, slab, math.prod(slab.shape[2:]))
        return
    lower, upper, share = _neighbours(shape_from[0], shape_to[0], nearest=separate == 0)
    row = held_start = 0
    held: Tensor | None = None
    area = math.prod(shape_to[1:]) * max(1, math.ceil(shape_to[0] / shape_from[0]))
    for slab_start, slab in slabs:
        for _, chunk in _chunks(slab_start, slab, area):
            planes = _in_plane(chunk, shape_to, separate)
            held = planes if held is None else torch.cat([held, planes], 1)
            ready = int(np.searchsorted(upper, held_start + held.shape[1]))
            if ready > row:
                yield row, _between(held, held_start, lower[row:ready], upper[row:ready], share[row:ready])
                row = ready
            # Keep the planes that rows to come still need.
            start = held_start + held.shape[1]
            start = min(start, int(lower[row])) if row < len(lower) else start
            held = held[:, start - held_start :].clone()
            held_start = start
    assert row == shape_to[0], f"{row} of {shape_to[0]} planes"


def restore(
    slabs: Iterable[tuple[int, Tensor]],
    properties: CaseProperties,
    labels: Labels,
    *,
    with_probabilities: bool = False,
) -> Restored:
    """Make the label volume of a file from the logits of its preprocessed image.

    With probabilities the whole array of them is held in memory: 2 bytes x outputs x voxels of the file (1.2 GB for
    4 outputs and 512 x 512 x 600 voxels).

    Args:
        slabs: logits in order (``inference.SlidingWindow.slabs``).
        properties: what preprocessing did to the case.
        labels: the classes.
        with_probabilities: make them too.
    """
    whole, box = _canvas((), properties, _kind(labels))
    chances = chances_box = None
    if with_probabilities:
        chances, chances_box = _canvas((labels.outputs,), properties, np.float16)
        if not labels.has_regions:
            chances[0] = 1
    separate = separate_axis(properties.spacing, properties.spacing_before)
    for start, logits in resample_slabs(slabs, properties.shape, properties.shape_after_crop, separate):
        planes = slice(start, start + logits.shape[1])
        box[planes] = labels_of(logits, labels).cpu().numpy()
        if chances_box is not None:
            chances_box[:, planes] = probabilities_of(logits, labels).cpu().numpy()
    return Restored(whole, chances)


def _written_values(labels: Labels) -> list[int]:
    """Label value of each output: background first, then the classes or regions."""
    if labels.regions_order is not None:
        return [0, *labels.regions_order]
    return [0, *(values[0] for values in labels.classes.values())]


def _kind(labels: Labels) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if max(_written_values(labels)) <= np.iinfo(np.uint8).max else np.uint16


def _canvas(
    leading: tuple[int, ...],
    properties: CaseProperties,
    kind: npt.DTypeLike,
    whole: npt.NDArray[Any] | None = None,
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Make zeros (*leading, Z, Y, X) in the file's order, and a view of the crop's box in transposed order."""
    if whole is None:
        shape = [properties.shape_before_crop[properties.transpose.index(axis)] for axis in range(3)]
        whole = np.zeros((*leading, *shape), dtype=kind)
    count = len(leading)
    turned = whole.transpose(*range(count), *(count + axis for axis in properties.transpose))
    return whole, turned[(..., *box_slices(properties.bbox))]


def _chunks(start: int, slab: Tensor, area: int) -> Iterator[tuple[int, Tensor]]:
    """Cut a slab into runs of planes that have about ``_VALUES_PER_CHUNK`` values at ``area`` voxels each."""
    planes = max(1, _VALUES_PER_CHUNK // (slab.shape[0] * area))
    for first in range(0, slab.shape[1], planes):
        yield start + first, slab[:, first : first + planes]


def _neighbours(
    n_in: int, n_out: int, *, nearest: bool
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Give for each plane to make the two planes it lies between and the share of the upper one."""
    if nearest:
        indices = nearest_indices(n_in, n_out)
        return indices, indices, np.zeros(n_out)
    positions = np.clip(source_positions(n_in, n_out), 0, n_in - 1)
    lower = np.floor(positions).astype(np.intp)
    return lower, np.minimum(lower + 1, n_in - 1), positions - lower


def _in_plane(planes: Tensor, shape: Shape, separate: int | None) -> Tensor:
    """Resample the last two axes of (K, depth, Y, X)."""
    if separate in (1, 2):
        indices = nearest_indices(planes.shape[separate + 1], shape[separate])
        planes = planes.index_select(separate + 1, torch.from_numpy(indices).to(planes.device))
    if tuple(planes.shape[2:]) == shape[1:]:
        return planes
    return interpolate(planes, size=list(shape[1:]), mode="bilinear", align_corners=False)


def _between(
    planes: Tensor,
    start: int,
    lower: npt.NDArray[np.intp],
    upper: npt.NDArray[np.intp],
    share: npt.NDArray[np.float64],
) -> Tensor:
    """Interpolate planes (K, depth, Y, X), the first of which is plane ``start``."""
    below = planes.index_select(1, torch.from_numpy(lower - start).to(planes.device))
    if not share.any():
        return below
    above = planes.index_select(1, torch.from_numpy(upper - start).to(planes.device))
    return below.lerp_(above, torch.from_numpy(share).to(planes)[:, None, None])
