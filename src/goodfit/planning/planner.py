"""From fingerprint and memory to a plan, by nnU-Net's rules."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

from goodfit.errors import PlanError
from goodfit.planning import wording
from goodfit.planning.choice import choose_configuration
from goodfit.planning.configuration_rules import plan_configuration
from goodfit.planning.feature_map_budget import Basis
from goodfit.planning.lowres import plan_cascade, plan_lowres
from goodfit.planning.normalisation_choice import choose_normalisation
from goodfit.planning.plan import Data, Plan
from goodfit.planning.spacing import (
    TargetSpacing,
    median_resampled_shape,
    target_spacing,
    transpose_order,
    transposed,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goodfit.data.dataset import Dataset
    from goodfit.planning.feature_map_budget import PresetName
    from goodfit.planning.fingerprint import Fingerprint
    from goodfit.planning.plan import Configuration, ConfigurationName


def make_plan(
    dataset: Dataset,
    fingerprint: Fingerprint,
    *,
    memory: float | None = None,
    configuration: str | None = None,
    planner: Literal["measured", "nnunet"] = "nnunet",
    preset: PresetName = "plain",
    spacing: Sequence[float] | None = None,
) -> Plan:
    """Derive every decision of a plan; budget and training keep their defaults.

    Args:
        dataset: names, channels and classes; no file is read.
        fingerprint: measured on the same dataset.
        memory: bytes that the training may use; None takes what the preset was made for (plain: 8 GB).
        configuration: which one to train; None chooses.
        planner: nnunet: the rules scale with ``memory``; measured: they are asked for the memory they were made for,
            since the prediction fits the plan to ``memory`` afterwards (``memory_fit``).
        preset: family of networks.
        spacing: full-resolution target spacing in mm, file order (z, y, x); None derives it. As in nnU-Net
            (overwrite_target_spacing), axis order, patches and all else follow from it.

    Raises:
        PlanError: the dataset allows no such configuration, or the memory is too small for any patch.
    """
    if len(fingerprint.intensities) != len(dataset.channels):
        raise PlanError(
            f"{dataset.root}: the fingerprint has {len(fingerprint.intensities)} channels, the dataset "
            f"{len(dataset.channels)}. Measure the fingerprint anew."
        )
    if memory is not None and not memory > 0:
        raise PlanError(f"memory: {memory} is no amount of memory. Give a positive number of bytes.")
    rule_memory = memory if planner == "nnunet" else None
    basis = Basis.of(dataset.labels, len(fingerprint.cases), rule_memory, preset)
    target = _target(fingerprint, spacing)
    order = transpose_order(target.spacing)
    configurations, lowres_reason = _configurations(fingerprint, target, order, basis)
    chosen = choose_configuration(configurations, configuration, lowres_reason)
    return Plan(
        goodfit_version=version("goodfit"),
        planner=planner,
        memory=basis.memory if memory is None else memory,
        data=_data(dataset, fingerprint, target.spacing, order),
        configuration=chosen.name,
        configurations=configurations,
        reasons={
            "memory": f"what preset {preset} was made for" if memory is None else "given",
            "configuration": chosen.reason,
            "configurations": lowres_reason,
        },
    )


def _target(fingerprint: Fingerprint, spacing: Sequence[float] | None) -> TargetSpacing:
    if spacing is None:
        return target_spacing(fingerprint.spacings, fingerprint.shapes_after_crop)
    if len(spacing) != 3 or not all(0 < length < float("inf") for length in spacing):
        raise PlanError(f"spacing: {list(spacing)} must be three positive lengths in mm, ordered z, y, x.")
    return TargetSpacing((spacing[0], spacing[1], spacing[2]), "given on the command line")


def _configurations(
    fingerprint: Fingerprint, target: TargetSpacing, order: Sequence[int], basis: Basis
) -> tuple[dict[ConfigurationName, Configuration], str]:
    """All configurations of the dataset, and why there is or is no 3d_lowres."""
    spacing = transposed(target.spacing, order)
    median = median_resampled_shape(fingerprint.shapes_after_crop, fingerprint.spacings, target.spacing)
    median_shape = transposed(median, order)
    reasons = {
        "spacing": target.reason,
        "median_shape": f"median of {basis.cases} cases, cropped and resampled to the target spacing",
    }

    def plan(name: ConfigurationName) -> Configuration:
        return plan_configuration(name, spacing=spacing, median_shape=median_shape, basis=basis, reasons=reasons)

    configurations: dict[ConfigurationName, Configuration] = {"2d": plan("2d")}
    if median_shape[0] == 1:
        return configurations, "the data is 2D: no 3d configurations"
    fullres = plan("3d_fullres")
    configurations["3d_fullres"] = fullres
    lowres = plan_lowres(fullres, basis)
    if lowres.configuration is not None:
        configurations["3d_lowres"] = lowres.configuration
        # nnU-Net: with a low-resolution stage, full-resolution patches are too small for a Dice per sample.
        fullres.batch_dice = True
        fullres.reasons["batch_dice"] = "patches are small beside the cases (there is a 3d_lowres)"
        configurations["3d_cascade_fullres"] = plan_cascade(fullres)
    return configurations, lowres.reason


def _data(dataset: Dataset, fingerprint: Fingerprint, spacing: Sequence[float], order: Sequence[int]) -> Data:
    normalisation = choose_normalisation(dataset.channels, fingerprint.relative_size_after_crop)
    labels = dataset.labels
    coarsest = wording.axis(order[0])
    if list(order) == [0, 1, 2]:
        order_reason = f"axis z is the coarsest at {wording.millimetres(spacing)}, or as coarse as any: nothing to move"
    else:
        order_reason = f"axis {coarsest} is the coarsest at {wording.millimetres(spacing)} (z, y, x), so it goes first"
    return Data(
        name=dataset.name,
        key=fingerprint.key,
        channels=list(dataset.channels),
        file_ending=dataset.file_ending,
        classes={name: list(values) for name, values in labels.classes.items()},
        ignore=labels.ignore,
        regions_order=None if labels.regions_order is None else list(labels.regions_order),
        transpose=list(order),
        normalisation=normalisation.names,
        use_mask=normalisation.use_mask,
        intensities=fingerprint.intensities,
        reasons={
            "transpose": order_reason,
            "normalisation": normalisation.names_reason,
            "use_mask": normalisation.mask_reason,
            "intensities": f"foreground voxels of {len(fingerprint.cases)} cases, every case weighing the same",
        },
    )
