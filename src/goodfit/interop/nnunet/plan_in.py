"""From nnU-Net's plans to goodfit's."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from goodfit.errors import PlanError
from goodfit.interop.nnunet.names import NORMALISATIONS, configuration_name
from goodfit.planning.defaults import default_budget, default_training
from goodfit.planning.feature_map_budget import GB, PRESETS
from goodfit.planning.plan import Configuration, Data, IntensityStatistics, NetworkPlan, Plan

if TYPE_CHECKING:
    from goodfit.data.description import Description
    from goodfit.interop.nnunet.architecture import Architecture
    from goodfit.interop.nnunet.plans_file import NnunetPlans
    from goodfit.planning.plan import ConfigurationName

UNKNOWN_DATASET = "unknown"
"""Key of a dataset that is not at hand: an imported model has been trained elsewhere."""


def plan_from_nnunet(
    plans: NnunetPlans, description: Description, configuration: str, *, key: str = UNKNOWN_DATASET
) -> Plan:
    """Make a goodfit plan of nnU-Net's plans.

    The chosen configuration must be one that goodfit can train or predict with; of the others those are taken over
    that are. Budget and training keep goodfit's defaults: nnU-Net's plans say nothing of them.

    Args:
        plans: the plans file.
        description: its dataset.json.
        configuration: name of the chosen configuration in the plans file.
        key: digest of the dataset's content (``data.dataset.content_key``), where it is at hand.

    Raises:
        PlanError: the configuration cannot be taken over, or plans and dataset.json contradict each other.
    """
    chosen = _configuration(plans, configuration)
    configurations: dict[ConfigurationName, Configuration] = {chosen.name: chosen}
    left_out = []
    previous = plans.configuration(configuration)[0].previous_stage
    # The stage before the chosen one goes first: of several of its kind it is the one that belongs to it.
    for name in sorted(plans.names, key=lambda name: name != previous):
        if name == configuration:
            continue
        try:
            other = _configuration(plans, name)
        except PlanError as error:
            left_out.append(str(error).removeprefix(f"{plans.source}: "))
            continue
        configurations.setdefault(other.name, other)
    cascade = configurations.get("3d_cascade_fullres")
    if cascade is not None and "3d_lowres" not in configurations:
        if cascade is chosen:
            raise PlanError(f"{plans.source}: configurations.{configuration}.previous_stage: {'; '.join(left_out)}")
        del configurations["3d_cascade_fullres"]
        left_out.append("3d_cascade_fullres, whose first stage is")
    memory, memory_reason = _memory(plans)
    return Plan(
        goodfit_version=version("goodfit"),
        memory=memory,
        data=_data(plans, description, configuration, key),
        configuration=chosen.name,
        configurations=configurations,
        budget=default_budget(),
        training=default_training(),
        reasons={
            "configuration": f"{configuration} of {plans.source}",
            "configurations": "; ".join(["those of the plans file", *(f"left out: {reason}" for reason in left_out)]),
            "memory": memory_reason,
        },
    )


def _configuration(plans: NnunetPlans, name: str) -> Configuration:
    found, architecture = plans.configuration(name)
    content = plans.content
    spacing, shape = list(found.spacing), list(found.median_image_size_in_voxels)
    if found.dims == 2:
        # nnU-Net leaves the first axis out of a 2d configuration, since nothing is resampled along it.
        across_spacing, across_shape = (
            content.original_median_spacing_after_transp,
            content.original_median_shape_after_transp,
        )
        if "3d_fullres" in plans.names:
            fullres, _ = plans.configuration("3d_fullres")
            across_spacing, across_shape = fullres.spacing, fullres.median_image_size_in_voxels
        spacing, shape = [across_spacing[0], *spacing], [across_shape[0], *shape]
    return Configuration(
        name=configuration_name(name, found, plans.source),
        spacing=spacing,
        median_shape=shape,
        patch_size=found.patch_size,
        batch_size=found.batch_size,
        batch_dice=found.batch_dice,
        previous_stage=None if found.previous_stage is None else "3d_lowres",
        network=_network(architecture),
        reasons=dict.fromkeys(
            ("spacing", "median_shape", "patch_size", "batch_size", "batch_dice"), f"{name} of {plans.source}"
        ),
    )


def _network(architecture: Architecture) -> NetworkPlan:
    return NetworkPlan(
        architecture=architecture.kind,
        features=architecture.features,
        kernel_sizes=architecture.kernel_sizes,
        strides=architecture.strides,
        encoder_blocks=architecture.encoder_blocks,
        decoder_blocks=architecture.decoder_blocks,
        reasons={"architecture": "that of nnU-Net's plans"},
    )


def _data(plans: NnunetPlans, description: Description, name: str, key: str) -> Data:
    configuration, _ = plans.configuration(name)
    channels, schemes = description.channels, configuration.normalization_schemes
    if len(schemes) != len(channels):
        raise PlanError(
            f"{plans.source}: configurations.{name}.normalization_schemes has {len(schemes)} entries, dataset.json names "
            f"{len(channels)} channels ({', '.join(channels)}). They belong to different datasets."
        )
    if description.file_ending is None:
        raise PlanError(f'{plans.source}: its dataset.json has no file_ending; add one, for example ".nii.gz".')
    labels = description.labels
    return Data(
        name=plans.content.dataset_name,
        key=key,
        channels=list(channels),
        file_ending=description.file_ending,
        classes={name: list(values) for name, values in labels.classes.items()},
        ignore=labels.ignore,
        regions_order=None if labels.regions_order is None else list(labels.regions_order),
        transpose=list(plans.content.transpose_forward),
        normalisation=[NORMALISATIONS[scheme] for scheme in schemes],
        use_mask=configuration.use_mask_for_norm,
        intensities=[_intensities(plans, index) for index in range(len(channels))],
        reasons={
            field: f"{field_there} of {plans.source}"
            for field, field_there in (
                ("transpose", "transpose_forward"),
                ("normalisation", f"{name}.normalization_schemes"),
                ("use_mask", f"{name}.use_mask_for_norm"),
                ("intensities", "foreground_intensity_properties_per_channel"),
            )
        },
    )


def _intensities(plans: NnunetPlans, channel: int) -> IntensityStatistics:
    found = plans.content.foreground_intensity_properties_per_channel.get(str(channel))
    if found is None:
        raise PlanError(
            f"{plans.source}: foreground_intensity_properties_per_channel.{channel}: missing, though dataset.json names "
            "this channel. They belong to different datasets."
        )
    return IntensityStatistics(
        mean=found.mean,
        median=found.median,
        std=found.std,
        minimum=found.min,
        maximum=found.max,
        percentile_00_5=found.percentile_00_5,
        percentile_99_5=found.percentile_99_5,
    )


def _memory(plans: NnunetPlans) -> tuple[float, str]:
    """Give the memory that nnU-Net's planner aims at; the plans file does not hold it."""
    planner = plans.content.experiment_planner_used
    for name, preset in PRESETS.items():
        if planner.lower().endswith(name.replace("_", "")) and name != "plain":
            return preset.memory, f"what nnU-Net's {planner} aims at"
    return 8 * GB, f"what nnU-Net's {planner or 'planner'} aims at unless told otherwise"
