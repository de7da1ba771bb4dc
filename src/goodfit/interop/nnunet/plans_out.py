"""From goodfit's plan to nnU-Net's plans and dataset.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from goodfit.errors import PlanError
from goodfit.interop.nnunet.names import SCHEMES, reader_name
from goodfit.preprocessing.nnunet import data_folder_name, dataset_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goodfit.planning.plan import Configuration, IntensityStatistics, NetworkPlan, Plan

PLANS_NAME = "nnUNetPlans"
_CLASSES = {"plain_unet": "PlainConvUNet", "residual_unet": "ResidualEncoderUNet"}
_BLOCKS = {"plain_unet": "n_conv_per_stage", "residual_unet": "n_blocks_per_stage"}


def nnunet_plans_of(
    plan: Plan,
    *,
    name: str | None = None,
    median_spacing: Sequence[float] | None = None,
    median_shape: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Write a plan in nnU-Net's schema (nnUNetPlans.json of 2.8).

    Args:
        plan: the plan, with all its configurations.
        name: of the dataset, by default the plan's; brought into nnU-Net's form.
        median_spacing: of the dataset's files in mm, transposed order; nnU-Net only prints it. By default the finest
            configuration's.
        median_shape: of the dataset's files in voxels, likewise.

    Raises:
        PlanError: nnU-Net has no word for a part of the plan; names it.
    """
    finest = plan.configurations.get("3d_fullres") or plan.configurations.get("2d") or plan.chosen
    order = plan.data.transpose
    flat = finest.median_shape[0] == 1
    return {
        "dataset_name": dataset_name(name or plan.data.name),
        "plans_name": PLANS_NAME,
        "original_median_spacing_after_transp": [float(value) for value in median_spacing or finest.spacing],
        "original_median_shape_after_transp": [round(value) for value in median_shape or finest.median_shape],
        "image_reader_writer": reader_name(plan.data.file_ending, flat=flat),
        "transpose_forward": list(order),
        "transpose_backward": [order.index(axis) for axis in range(3)],
        "configurations": {
            name: _inherited(plan, configuration) or _configuration(plan, configuration)
            for name, configuration in plan.configurations.items()
        },
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            str(index): _intensities(channel) for index, channel in enumerate(plan.data.intensities)
        },
    }


def nnunet_dataset_json(plan: Plan, cases: int, *, name: str | None = None) -> dict[str, Any]:
    """Write the plan's dataset as nnU-Net's dataset.json.

    Args:
        plan: the plan.
        cases: number of training cases (numTraining).
        name: of the dataset, by default the plan's; brought into nnU-Net's form.

    Raises:
        PlanError: the label values have gaps, which nnU-Net cannot write: it numbers the classes itself.
    """
    labels = plan.data.labels
    values = [value for values in labels.classes.values() for value in values]
    if not labels.has_regions and sorted(values) != list(range(1, len(values) + 1)):
        raise PlanError(
            f"data.classes: nnU-Net needs the label values 1 to {len(values)} without a gap and would write those in place "
            f"of {', '.join(map(str, sorted(values)))}. Renumber the labels of the dataset and train on that."
        )
    return {**dataset_json(plan.data, cases), "name": dataset_name(name or plan.data.name)}


def dataset_name(name: str) -> str:
    """Give a name of nnU-Net's form, DatasetNNN_NAME; 999 where the dataset has no number of its own."""
    head, _, rest = name.partition("_")
    numbered = head.startswith("Dataset") and len(head) == 10 and head[7:].isdecimal() and rest
    return name if numbered else f"Dataset999_{name}"


def _inherited(plan: Plan, configuration: Configuration) -> dict[str, Any] | None:
    """Say of a cascade in which it differs from 3d_fullres, as nnU-Net does; None where it differs in more."""
    parent = plan.configurations.get("3d_fullres")
    if configuration.previous_stage is None or parent is None:
        return None
    alike = parent.model_copy(update={"name": configuration.name, "previous_stage": configuration.previous_stage})
    omitted: dict[str, Any] = {"reasons": True, "network": {"reasons"}, "growth": True}
    if alike.model_dump(exclude=omitted) != configuration.model_dump(exclude=omitted):
        return None
    return {"inherits_from": parent.name, "previous_stage": configuration.previous_stage}


def _stages(plan: Plan, configuration: Configuration) -> dict[str, str]:
    """Name what comes before and after a configuration in a cascade."""
    if configuration.previous_stage is not None:
        return {"previous_stage": configuration.previous_stage}
    following = [other.name for other in plan.configurations.values() if other.previous_stage == configuration.name]
    return {"next_stage": following[0]} if following else {}


def _configuration(plan: Plan, configuration: Configuration) -> dict[str, Any]:
    axes = slice(3 - configuration.dims, None)
    resampling: dict[str, Any] = {}
    for kind, order in (("data", 3), ("seg", 1), ("probabilities", 1)):
        resampling[f"resampling_fn_{kind}"] = "resample_data_or_seg_to_shape"
        resampling[f"resampling_fn_{kind}_kwargs"] = {
            "is_seg": kind == "seg",
            "order": order,
            "order_z": 0,
            "force_separate_z": None,
        }
    return {
        "data_identifier": data_folder_name(configuration.name),
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": configuration.batch_size,
        "patch_size": list(configuration.patch_size),
        "median_image_size_in_voxels": list(configuration.median_shape[axes]),
        "spacing": list(configuration.spacing[axes]),
        "normalization_schemes": [SCHEMES[name] for name in plan.data.normalisation],
        "use_mask_for_norm": list(plan.data.use_mask),
        **resampling,
        "architecture": _architecture(configuration.network, configuration.dims),
        "batch_dice": configuration.batch_dice,
        **_stages(plan, configuration),
    }


def _architecture(network: NetworkPlan, dims: int) -> dict[str, Any]:
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{_CLASSES[network.architecture]}",
        "arch_kwargs": {
            "n_stages": len(network.features),
            "features_per_stage": list(network.features),
            "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
            "kernel_sizes": [list(kernel) for kernel in network.kernel_sizes],
            "strides": [list(stride) for stride in network.strides],
            _BLOCKS[network.architecture]: list(network.encoder_blocks),
            "n_conv_per_stage_decoder": list(network.decoder_blocks),
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dims}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def _intensities(statistics: IntensityStatistics) -> dict[str, float]:
    return {
        "max": statistics.maximum,
        "mean": statistics.mean,
        "median": statistics.median,
        "min": statistics.minimum,
        "percentile_00_5": statistics.percentile_00_5,
        "percentile_99_5": statistics.percentile_99_5,
        "std": statistics.std,
    }
