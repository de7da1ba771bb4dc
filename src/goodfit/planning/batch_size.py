"""Batch size from what the patch leaves of the budget."""

from __future__ import annotations

from typing import NamedTuple

from goodfit.planning import wording

MIN_BATCH = 2
"""nnU-Net: UNet_min_batch_size."""


class BatchSize(NamedTuple):
    """A batch size and why it is so."""

    size: int
    reason: str


def allowed_batch(patch_voxels: int, dataset_voxels: float, largest_share: float) -> int:
    """Give the patches that cover the largest part of the dataset which one batch may cover, as a guard against
    overfitting (nnU-Net: 5 % of the voxels)."""
    return round(dataset_voxels * largest_share / patch_voxels)


def choose_batch_size(
    *,
    values: int,
    budget: float,
    reference_batch: int,
    memory: float,
    patch_voxels: int,
    dataset_voxels: float,
    largest_share: float,
) -> BatchSize:
    """Take as many samples as the budget allows, capped by a share of the dataset, but at least two.

    nnU-Net: budget / values x reference batch, rounded; at most 5 % of the dataset's voxels in one batch.

    Args:
        values: feature-map values of one patch.
        budget: feature-map values of one patch that train with ``reference_batch`` samples.
        reference_batch: batch size that ``budget`` belongs to.
        memory: bytes that ``budget`` belongs to, for the reason.
        patch_voxels: voxels of one patch.
        dataset_voxels: voxels of all cases after resampling.
        largest_share: part of ``dataset_voxels`` that one batch may cover.
    """
    fitting = round(budget / values * reference_batch)
    allowed = allowed_batch(patch_voxels, dataset_voxels, largest_share)
    size = max(min(fitting, allowed), MIN_BATCH)
    reason = (
        f"feature maps of one patch take {wording.count(values)} values of the "
        f"{wording.count(budget * reference_batch)} that train in {wording.gigabytes(memory)}: {fitting} fit; "
        f"{100 * largest_share:g} % of the dataset's {wording.count(dataset_voxels)} voxels are about "
        f"{wording.counted(allowed, 'patch')}"
    )
    if min(fitting, allowed) < MIN_BATCH:
        reason += f"; never fewer than {MIN_BATCH}"
    return BatchSize(size, reason)


def choose_measured_batch(
    *, fits: int, memory: str, allowed: int, largest_share: float, most: int | None, most_reason: str
) -> BatchSize:
    """Take as many samples as are predicted to fit, capped by a share of the dataset, but at least two.

    Args:
        fits: largest batch whose predicted memory stays within the limit.
        memory: the limit, in words.
        allowed: patches that cover ``largest_share`` of the dataset.
        largest_share: part of the dataset's voxels that one batch may cover.
        most: largest batch for another reason, or None.
        most_reason: that reason.
    """
    size = max(MIN_BATCH, min(fits, allowed, fits if most is None else most))
    reason = f"{fits} are predicted to fit into {memory}; {100 * largest_share:g} % of the dataset's voxels are about "
    reason += wording.counted(allowed, "patch")
    if most is not None and min(fits, allowed) > most:
        reason += f"; {most_reason}"
    if min(fits, allowed) < MIN_BATCH:
        reason += f"; never fewer than {MIN_BATCH}"
    return BatchSize(size, reason)
