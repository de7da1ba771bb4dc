"""Scores of one predicted case against its reference: overlap, surface distances and volumes.

What an empty mask scores, here and wherever a score is averaged:

- class absent from reference and prediction: every metric is NaN (null in JSON) and the case does not count for
  that class (nnU-Net scores it NaN as well), since there was nothing to find;
- class present in only one of them: Dice, IoU and surface Dice are 0, and HD95 is the diagonal of the image, the
  largest distance there can be, so that a missed structure costs something in the mean.

Voxels whose reference is the ignore label are taken out of both masks before anything is measured.

Surface distances run over voxel centres. A surface voxel belongs to the mask and has a face neighbour outside it;
the outside of the image is outside the mask. monai has the same definitions and gives the same values (see the
tests); they are computed here because importing monai takes seconds, and because a tree over the surface voxels is
eight times as fast as distance maps of the volume and needs memory for the surface only.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from goodfit.tasks.scoring import Number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from goodfit.data.labels import Labels

    Mask = NDArray[np.bool_]

HAUSDORFF_PERCENTILE = 95.0
# A surface one voxel away is within a tolerance of one voxel, whatever the rounding of the file's spacing.
_ROUNDING = 1e-5
_CHUNK = 1 << 22  # voxels whose class indices are held at a time


class ClassMetrics(BaseModel):
    """Scores of one class in one case; the module's docstring says what empty masks score."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dice: Number
    """2 TP / (2 TP + FP + FN), 0 to 1."""
    iou: Number
    """TP / (TP + FP + FN), 0 to 1."""
    hd95: Number
    """Larger of the two directed 95th percentiles of the surface distances, in the unit of the spacing."""
    surface_dice: Number
    """Share of both surfaces that lies within the tolerance of the other one, 0 to 1."""
    reference_volume: float
    """Volume of the reference, in the unit of ``voxel_volume``."""
    prediction_volume: float
    """Volume of the prediction."""
    volume_difference: float
    """Prediction minus reference."""

    @property
    def counts(self) -> bool:
        """Whether the case counts for this class: it is in the reference or in the prediction."""
        return self.reference_volume > 0 or self.prediction_volume > 0


def case_metrics(
    prediction: NDArray[np.integer],
    reference: NDArray[np.integer],
    labels: Labels,
    *,
    spacing: Sequence[float],
    voxel_volume: float,
    tolerance: float,
) -> dict[str, ClassMetrics]:
    """Score every class of one case.

    Args:
        prediction: label values, (Z, Y, X); axes of size one are left out of the surface metrics, so a 2D image is
            scored along its outlines.
        reference: label values, the same shape.
        labels: the classes; each may consist of several values (regions).
        spacing: size of a voxel along each axis of the arrays.
        voxel_volume: volume of one voxel, in the unit that volumes are wanted in.
        tolerance: distance up to which surfaces agree, in the unit of ``spacing``.

    Returns:
        Class name -> scores, in the order of ``labels``.
    """
    assert prediction.shape == reference.shape
    assert len(spacing) == reference.ndim
    thick = tuple(axis for axis, size in enumerate(reference.shape) if size > 1)
    steps = tuple(float(spacing[axis]) for axis in thick)
    diagonal = math.hypot(*(reference.shape[axis] * spacing[axis] for axis in thick))
    scored = None if labels.ignore is None else reference != labels.ignore
    scores: dict[str, ClassMetrics] = {}
    for name, values in labels.classes.items():
        predicted, expected = _mask(prediction, values, scored), _mask(reference, values, scored)
        tp = int(np.count_nonzero(predicted & expected))
        in_prediction, in_reference = int(np.count_nonzero(predicted)), int(np.count_nonzero(expected))
        hd95, surface_dice = math.nan, math.nan
        if in_prediction and in_reference:
            distances = surface_distances(predicted.squeeze(), expected.squeeze(), steps)
            hd95, surface_dice = hausdorff95(*distances), surface_agreement(*distances, tolerance)
        elif in_prediction or in_reference:
            hd95, surface_dice = diagonal, 0.0
        scores[name] = ClassMetrics(
            dice=_ratio(2 * tp, in_prediction + in_reference),
            iou=_ratio(tp, in_prediction + in_reference - tp),
            hd95=hd95,
            surface_dice=surface_dice,
            reference_volume=in_reference * voxel_volume,
            prediction_volume=in_prediction * voxel_volume,
            volume_difference=(in_prediction - in_reference) * voxel_volume,
        )
    return scores


def surface_distances(
    first: Mask, second: Mask, spacing: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances from each surface voxel of one mask to the surface of the other, in both directions.

    Args:
        first: mask that is not empty, any number of axes.
        second: mask that is not empty, the same shape.
        spacing: voxel size along each axis.

    Returns:
        One distance per surface voxel of ``first``, and one per surface voxel of ``second``.
    """
    from scipy.spatial import KDTree

    box = _box(first | second)
    points = [np.argwhere(surface(mask[box])) * np.asarray(spacing, dtype=np.float64) for mask in (first, second)]
    if not spacing:  # an image of one voxel
        return np.zeros(1), np.zeros(1)
    there, _ = KDTree(points[1]).query(points[0])
    back, _ = KDTree(points[0]).query(points[1])
    return np.asarray(there, dtype=np.float64), np.asarray(back, dtype=np.float64)


def surface(mask: Mask) -> Mask:
    """Voxels of the mask that have a face neighbour outside it; beyond the array is outside."""
    padded = np.pad(mask, 1)
    inner = mask.copy()
    for axis in range(mask.ndim):
        for shifted in (slice(None, -2), slice(2, None)):
            window = [slice(1, -1)] * mask.ndim
            window[axis] = shifted
            inner &= padded[tuple(window)]
    return mask & ~inner


def hausdorff95(there: NDArray[np.float64], back: NDArray[np.float64]) -> float:
    """Larger of the two directed 95th percentiles (linear between ranks, as in monai)."""
    return float(max(np.percentile(there, HAUSDORFF_PERCENTILE), np.percentile(back, HAUSDORFF_PERCENTILE)))


def surface_agreement(there: NDArray[np.float64], back: NDArray[np.float64], tolerance: float) -> float:
    """Surface Dice (Nikolov et al. 2021) with every surface voxel weighing the same: share within ``tolerance``."""
    reach = tolerance * (1 + _ROUNDING)
    near = np.count_nonzero(there <= reach) + np.count_nonzero(back <= reach)
    return float(near / (there.size + back.size))


def dice_counts(
    prediction: NDArray[np.integer] | Tensor, label: NDArray[np.integer] | Tensor, labels: Labels
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """True positives, false positives and false negatives per class, in one pass over the voxels.

    For the validation of every epoch: much faster than masks per class when there are many classes.

    Args:
        prediction: label values, any shape; an array, or a tensor on any device.
        label: label values, the same shape and kind. Values that ``labels`` does not know count as background.
        labels: the classes.

    Returns:
        Three arrays with one voxel count per class, in the order of ``labels.names``.
    """
    known = labels.known_values
    table = np.zeros(max(known) + 1, dtype=np.int64)
    table[list(known)] = np.arange(len(known))
    flat, expected = prediction.reshape(-1), label.reshape(-1)
    assert flat.shape == expected.shape
    pairs = np.zeros((len(known), len(known)), dtype=np.int64)  # (reference, prediction)
    for start in range(0, flat.shape[0], _CHUNK):
        pairs += _count_pairs(flat[start : start + _CHUNK], expected[start : start + _CHUNK], table, len(known))
    if labels.ignore is not None:
        pairs[known.index(labels.ignore)] = 0
    counts = np.zeros((3, len(labels.classes)), dtype=np.int64)
    for index, values in enumerate(labels.classes.values()):
        inside = np.isin(known, values)
        counts[:, index] = (
            pairs[np.ix_(inside, inside)].sum(),
            pairs[np.ix_(~inside, inside)].sum(),
            pairs[np.ix_(inside, ~inside)].sum(),
        )
    return counts[0], counts[1], counts[2]


def dice_of_counts(counts: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]) -> list[float]:
    """Dice per class from what ``dice_counts`` gives; NaN where the class is in neither of the two."""
    tp, fp, fn = counts
    return [
        _ratio(2 * int(hit), 2 * int(hit) + int(false) + int(lost)) for hit, false, lost in zip(tp, fp, fn, strict=True)
    ]


def _count_pairs(prediction: Any, label: Any, table: NDArray[np.int64], kinds: int) -> NDArray[np.int64]:
    if isinstance(prediction, np.ndarray):
        predicted, expected = (_indices(values, table) for values in (prediction, label))
        return np.bincount(expected * kinds + predicted, minlength=kinds * kinds).reshape(kinds, kinds)
    import torch

    on_device = torch.from_numpy(table).to(prediction.device)
    indices = []
    for values in (label, prediction):
        wide = values.long()
        inside = (wide >= 0) & (wide < table.size)
        indices.append(torch.where(inside, on_device[wide.clamp(0, table.size - 1)], 0))
    pairs = torch.bincount(indices[0] * kinds + indices[1], minlength=kinds * kinds).reshape(kinds, kinds)
    counted: NDArray[np.int64] = pairs.cpu().numpy()
    return counted


def _indices(values: NDArray[np.integer], table: NDArray[np.int64]) -> NDArray[np.int64]:
    wide = values.astype(np.int64)
    inside = (wide >= 0) & (wide < table.size)
    return np.where(inside, table[wide.clip(0, table.size - 1)], 0)


def _mask(values: NDArray[np.integer], wanted: tuple[int, ...], scored: Mask | None) -> Mask:
    # np.isin sorts or tabulates; one comparison is several times faster for a plain label.
    mask: Mask = values == wanted[0] if len(wanted) == 1 else np.isin(values, wanted)
    return mask if scored is None else mask & scored


def _box(mask: Mask) -> tuple[slice, ...]:
    box = []
    for axis in range(mask.ndim):
        found = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(int(found[0]), int(found[-1]) + 1))
    return tuple(box)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
