"""Soft Dice plus cross-entropy over the outputs of deep supervision (nnU-Net: DC_and_CE_loss, DC_and_BCE_loss).

Written here instead of taken from monai because importing monai costs 3 s and its Dice makes float one-hot copies.

The Dice part is minus the soft Dice, as nnU-Net reports it: a perfect prediction has a loss of -1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goodfit.data.labels import Labels

SMOOTH = 1e-5
"""Added to numerator and denominator of the soft Dice (nnU-Net)."""

SMALLEST_DENOMINATOR = 1e-8
"""Lower bound of the Dice denominator (nnU-Net)."""

_UNLABELLED = -1


def deep_supervision_weights(outputs: int) -> list[float]:
    """Weights of the outputs, finest first: halved at each step, zero for the coarsest, sum 1 (nnU-Net)."""
    weights = [0.5**index for index in range(outputs)]
    if outputs > 1:
        weights[-1] = 0.0
    return [weight / sum(weights) for weight in weights]


def subsample(label: Tensor, stride: Sequence[int]) -> Tensor:
    """Take every ``stride``-th voxel, the one at the middle of each block (nnU-Net: interpolate "nearest-exact").

    Args:
        label: (B, \\*shape), each axis divisible by its stride.
        stride: voxels per output voxel, one entry per spatial axis.

    Returns:
        A view (B, \\*shape // stride).
    """
    return label[(slice(None), *(slice(step // 2, None, step) for step in stride))]


class SegmentationLoss(nn.Module):
    """Mean of equal parts Dice and (binary) cross-entropy, in float32 whatever the outputs' type.

    Plain labels: softmax, Dice over the foreground classes, cross-entropy over all. Regions: sigmoid, Dice and
    binary cross-entropy over every region. Voxels with the ignore label count in neither.

    Unlike nnU-Net the binary cross-entropy beside an ignore label is a mean over voxels and regions, as it is
    without one; nnU-Net then sums over regions, so that with five regions it weighs five times as much against the Dice
    as in a dataset without an ignore label. ``sum_regions`` does as nnU-Net; all other losses equal nnU-Net's anyway.

    Args:
        labels: the classes; label images hold the raw label values.
        batch_dice: sum intersections and volumes over the batch before dividing.
        strides: per output, finest first, the voxels of the label that one of its voxels spans
            (``network.deep_supervision_strides``); the first is all ones.
        sum_regions: sum the binary cross-entropy over regions. A ``Recipe.build_loss`` can ask for it.
    """

    table: Tensor
    members: Tensor

    def __init__(
        self, labels: Labels, batch_dice: bool, strides: Sequence[Sequence[int]], *, sum_regions: bool = False
    ) -> None:
        super().__init__()
        self.regions = labels.has_regions
        self.ignore = labels.ignore is not None
        self.batch_dice = batch_dice
        self.region_weight = len(labels.classes) if sum_regions and labels.has_regions else 1
        self.strides = [tuple(stride) for stride in strides]
        self.weights = deep_supervision_weights(len(self.strides))
        # Row: label value + 1, so that -1 (outside the image) is background like 0. Codes: see _codes.
        table, members = _codes(labels)
        self.register_buffer("table", table, persistent=False)
        self.register_buffer("members", members, persistent=False)

    def forward(self, outputs: Tensor | Sequence[Tensor], label: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            outputs: logits (B, K, \\*shape), or with deep supervision one such tensor per stride, finest first.
            label: (B, 1, \\*shape), any integer type, known label values and -1.

        Returns:
            A float32 scalar.
        """
        codes = self.table[label[:, 0].long() + 1]
        if isinstance(outputs, Tensor):
            return self._one(outputs, codes)
        assert len(outputs) == len(self.strides), f"{len(outputs)} outputs, {len(self.strides)} strides"
        parts = [
            weight * self._one(output, subsample(codes, stride))
            for output, stride, weight in zip(outputs, self.strides, self.weights, strict=True)
            if weight > 0
        ]
        return torch.stack(parts).sum()

    def _one(self, output: Tensor, codes: Tensor) -> Tensor:
        """Loss of one output (B, K, \\*shape) against codes (B, \\*shape)."""
        assert output.shape[2:] == codes.shape[1:], f"output {tuple(output.shape)}, label {tuple(codes.shape)}"
        logits = output.float().flatten(2)
        codes = codes.flatten(1)[:, None]
        valid = codes != _UNLABELLED if self.ignore else None
        if self.ignore:
            codes = codes.clamp(min=0)
        return self._of_regions(logits, codes, valid) if self.regions else self._of_labels(logits, codes, valid)

    def _of_labels(self, logits: Tensor, codes: Tensor, valid: Tensor | None) -> Tensor:
        logarithms = logits.log_softmax(1)
        entropy = -_mean(logarithms.gather(1, codes), valid)
        classes = torch.arange(1, logits.shape[1], device=codes.device)
        return entropy - soft_dice(logarithms[:, 1:].exp(), codes == classes[:, None], valid, self.batch_dice)

    def _of_regions(self, logits: Tensor, codes: Tensor, valid: Tensor | None) -> Tensor:
        members = self.members[:, codes[:, 0]].transpose(0, 1)
        # softplus(x) - x where a member: binary cross-entropy without a float copy of the members
        entropy = _mean(functional.softplus(logits) - torch.where(members, logits, 0.0), valid)
        return self.region_weight * entropy - soft_dice(logits.sigmoid(), members, valid, self.batch_dice)


def soft_dice(probabilities: Tensor, members: Tensor, valid: Tensor | None, batch_dice: bool) -> Tensor:
    """Mean soft Dice over classes, and over samples unless ``batch_dice`` (nnU-Net: MemoryEfficientSoftDiceLoss).

    Args:
        probabilities: (B, K, N) float32.
        members: (B, K, N) bool, whether the voxel is of the class.
        valid: (B, 1, N) bool, voxels that count, or None for all.
        batch_dice: sum over the batch before dividing.

    Returns:
        A scalar in 0..1. A class that neither occurs nor is predicted scores 1.
    """
    if valid is not None:
        probabilities = torch.where(valid, probabilities, 0.0)
        members = members & valid
    # bool masks and sums instead of scatter_add: no float one-hot, and the same bits each time on a GPU
    overlap = torch.where(members, probabilities, 0.0).sum(-1)
    predicted = probabilities.sum(-1)
    actual = members.sum(-1).float()
    if batch_dice:
        overlap, predicted, actual = overlap.sum(0), predicted.sum(0), actual.sum(0)
    return ((2 * overlap + SMOOTH) / (predicted + actual + SMOOTH).clamp_min(SMALLEST_DENOMINATOR)).mean()


def _mean(values: Tensor, valid: Tensor | None) -> Tensor:
    """Mean of (B, K, N) over the voxels that count; 0 where none does."""
    if valid is None:
        return values.mean()
    return torch.where(valid, values, 0.0).sum() / (valid.sum() * values.shape[1]).clamp_min(1)


def _codes(labels: Labels) -> tuple[Tensor, Tensor]:
    """Make the look-ups from label values to targets.

    Returns:
        int64 table: label value + 1 -> code. Plain labels: the code is the output index; regions: the value
        itself, 0 for unknown ones. The ignore label has the code -1.
        bool members (K, codes): with regions, whether region k holds the value; else empty.
    """
    size = max(labels.known_values) + 1
    table = torch.zeros(size + 1, dtype=torch.long)
    members = torch.zeros((len(labels.classes), size if labels.has_regions else 0), dtype=torch.bool)
    for index, values in enumerate(labels.classes.values()):
        for value in values:
            table[value + 1] = value if labels.has_regions else index + 1
            if labels.has_regions:
                members[index, value] = True
    if labels.ignore is not None:
        table[labels.ignore + 1] = _UNLABELLED
    return table, members
