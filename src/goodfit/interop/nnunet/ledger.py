"""What of a plans file goodfit does not follow, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goodfit.interop.nnunet.plans_file import NnunetPlans

_OUTERMOST = {
    "dataset_name",
    "plans_name",
    "original_median_spacing_after_transp",
    "original_median_shape_after_transp",
    "image_reader_writer",
    "transpose_forward",
    "transpose_backward",
    "configurations",
    "experiment_planner_used",
    "label_manager",
    "foreground_intensity_properties_per_channel",
    "foreground_intensity_properties_by_modality",
}
_CONFIGURATION = {
    "inherits_from",
    "data_identifier",
    "preprocessor_name",
    "batch_size",
    "patch_size",
    "median_image_size_in_voxels",
    "spacing",
    "normalization_schemes",
    "use_mask_for_norm",
    "batch_dice",
    "previous_stage",
    "next_stage",
    "architecture",
    *(f"resampling_fn_{kind}{more}" for kind in ("data", "seg", "probabilities") for more in ("", "_kwargs")),
}
_FLAT = {
    "UNet_class_name",
    "UNet_base_num_features",
    "unet_max_num_features",
    "n_conv_per_stage_encoder",
    "n_conv_per_stage_decoder",
    "num_pool_per_axis",
    "pool_op_kernel_sizes",
    "conv_kernel_sizes",
}


def not_followed(plans: NnunetPlans, name: str) -> Iterator[str]:
    """Name the keys that change nothing in goodfit, a sentence each; what would change the result is refused elsewhere.

    Args:
        plans: the file.
        name: of the configuration that is used.
    """
    for key in plans.raw:
        if key not in _OUTERMOST:
            yield f"{plans.source}: {key}: goodfit does not know this key and does not follow it."
    chain, seen = name, set[str]()
    while chain not in seen and chain in plans.content.configurations:
        seen.add(chain)
        values = plans.content.configurations[chain]
        for key in values:
            if key not in _CONFIGURATION | _FLAT:
                yield f"{plans.source}: configurations.{chain}.{key}: goodfit does not know this key and does not follow it."
        chain = str(values.get("inherits_from"))
