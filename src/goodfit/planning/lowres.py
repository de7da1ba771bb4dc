"""The low-resolution configuration, for cases of which a full-resolution patch sees too little, and the cascade."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from goodfit.planning import wording
from goodfit.planning.configuration_rules import fit_patch, plan_configuration

if TYPE_CHECKING:
    from goodfit.planning.feature_map_budget import Basis
    from goodfit.planning.plan import Configuration

COVERED_SHARE = 0.25
"""Share of the median case that a patch must cover (nnU-Net: lowres_creation_threshold)."""
SPACING_STEP = 1.03
"""Factor by which the spacing grows until it does (nnU-Net: 1.03)."""
ALIKE = 2
"""Axes more than this many times finer than the coarsest grow first (nnU-Net: 2)."""
LEAST_GAIN = 2
"""The low-resolution case must have this many times fewer voxels to be worth a network (nnU-Net: 2)."""


class LowResolution(NamedTuple):
    """The low-resolution configuration, or None, and why."""

    configuration: Configuration | None
    reason: str


def plan_lowres(fullres: Configuration, basis: Basis) -> LowResolution:
    """Coarsen the spacing until a patch covers a quarter of the median case, if it does not do so already.

    nnU-Net: median voxels at the coarser spacing are not rounded for this comparison, the median shape is.
    """
    full_voxels = math.prod(fullres.median_shape)
    covered = math.prod(fullres.patch_size) / full_voxels
    part = "the whole median case" if covered >= 1 else f"{wording.percent(covered)} of the median case"
    why = f"a 3d_fullres patch covers {part}"
    if covered >= COVERED_SHARE:
        return LowResolution(None, f"{why}: no 3d_lowres needed")
    spacing, share, voxels = list(fullres.spacing), covered, full_voxels
    rounded = [round(edge) for edge in fullres.median_shape]
    while share < COVERED_SHARE:
        spacing = _coarser(spacing)
        shape = [
            old / new * edge for old, new, edge in zip(fullres.spacing, spacing, fullres.median_shape, strict=True)
        ]
        voxels = math.prod(shape)
        rounded = [max(1, round(edge)) for edge in shape]
        patch = fit_patch(spacing, rounded, basis, runnable=False).topology.patch_size
        share = math.prod(patch) / voxels
    if full_voxels / voxels < LEAST_GAIN:
        return LowResolution(
            None,
            f"{why}, but where the spacing makes it cover 25 % there are only {full_voxels / voxels:.2f} times fewer "
            "voxels: no 3d_lowres made",
        )
    lowres = plan_configuration(
        "3d_lowres",
        spacing=spacing,
        median_shape=rounded,
        dataset_voxels=voxels * basis.cases,
        basis=basis,
        reasons={
            "spacing": f"{why}; the spacing grew in steps of 3 %, finest axes first, until a patch covers 25 %",
            "median_shape": f"3d_fullres median shape {wording.size(fullres.median_shape)} at this spacing",
        },
    )
    lowres.reasons["batch_dice"] = "not for the low-resolution stage"
    return LowResolution(lowres, f"{why} only, so there is a 3d_lowres")


def plan_cascade(fullres: Configuration) -> Configuration:
    """Make the full-resolution configuration that also sees what 3d_lowres predicts (nnU-Net: 3d_cascade_fullres).

    It is 3d_fullres in every other respect: nnU-Net's plans have it inherit from there.
    """
    return fullres.model_copy(
        deep=True,
        update={
            "name": "3d_cascade_fullres",
            "previous_stage": "3d_lowres",
            "reasons": {
                **fullres.reasons,
                "previous_stage": "3d_lowres sees the whole of a case, and this network the details",
            },
        },
    )


def _coarser(spacing: list[float]) -> list[float]:
    coarsest = max(spacing)
    fine = [coarsest / length > ALIKE for length in spacing]
    if not any(fine):
        fine = [True] * 3
    return [length * SPACING_STEP if grows else length for length, grows in zip(spacing, fine, strict=True)]
