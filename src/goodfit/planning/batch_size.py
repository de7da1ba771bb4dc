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
    allowed = round(dataset_voxels * largest_share / patch_voxels)
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
