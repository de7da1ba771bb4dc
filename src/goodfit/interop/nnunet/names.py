"""What nnU-Net and goodfit call the same things."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goodfit.interop.nnunet.plans_file import Configuration, Reader, Scheme
    from goodfit.planning.plan import ConfigurationName, NormalisationName

NORMALISATIONS: Mapping[Scheme, NormalisationName] = {
    "CTNormalization": "ct",
    "ZScoreNormalization": "zscore",
    "NoNormalization": "none",
    "RescaleTo01Normalization": "rescale",
    "RGBTo01Normalization": "rgb",
}
SCHEMES: Mapping[NormalisationName, Scheme] = {name: scheme for scheme, name in NORMALISATIONS.items()}
LOWRES = "lowres"
"""Part of the names of low-resolution configurations."""
PHOTOS = (".png", ".bmp", ".tif")
"""Endings of nnU-Net's reader of 2D images."""


def configuration_name(name: str, configuration: Configuration, source: str) -> ConfigurationName:
    """Say which of goodfit's configurations one of a plans file is: users give theirs any name.

    Raises:
        PlanError: goodfit has none like it.
    """
    previous = configuration.previous_stage
    if previous is not None:
        if configuration.dims != 3 or LOWRES not in previous:
            raise PlanError(
                f"{source}: configurations.{name}.previous_stage: {previous!r} is no low-resolution 3D configuration; "
                "goodfit's cascade goes from 3d_lowres to 3d_cascade_fullres."
            )
        return "3d_cascade_fullres"
    if configuration.dims == 2:
        return "2d"
    return "3d_lowres" if LOWRES in name or configuration.next_stage is not None else "3d_fullres"


def reader_name(ending: str, *, flat: bool) -> Reader:
    """Name nnU-Net's reader of files with this ending.

    Args:
        ending: with its leading dot.
        flat: the images are 2D.

    Raises:
        PlanError: nnU-Net reads no such files.
    """
    if flat and ending in PHOTOS:
        return "NaturalImage2DIO"
    if ending in (".tif", ".tiff"):
        return "Tiff3DIO"
    if ending == ".nii":
        return "NibabelIO"
    if ending in (".nii.gz", ".nrrd", ".mha", ".gipl"):
        return "SimpleITKIO"
    raise PlanError(
        f"file_ending: nnU-Net reads no {ending} files. Its endings are {', '.join(PHOTOS)}, .tiff, .nii, .nii.gz, .nrrd, "
        ".mha and .gipl; convert the images to one of them."
    )
