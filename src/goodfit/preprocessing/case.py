"""One case through all of preprocessing: transpose, crop, normalise, resample (nnU-Net's order)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.errors import DatasetError
from goodfit.preprocessing.crop import Box, bounding_box, box_slices, fill_holes, mark_outside, nonzero_mask
from goodfit.preprocessing.normalise import normalise
from goodfit.preprocessing.properties import CaseProperties, Shape, Spacing, permuted, spacing_of
from goodfit.preprocessing.resample import new_shape, resample_image, resample_label, separate_axis

if TYPE_CHECKING:
    import numpy.typing as npt

    from goodfit.data.geometry import Geometry, Image
    from goodfit.planning.plan import Configuration, Data

__all__ = [
    "CaseProperties",
    "CroppedCase",
    "Resampling",
    "crop_and_normalise",
    "preprocess_case",
    "resample_case",
    "resampling_of",
]


@dataclass(frozen=True)
class CroppedCase:
    """A case up to where the configurations part.

    Attributes:
        image: (C, Z, Y, X) float32, transposed, cropped and normalised.
        label: (1, Z, Y, X) int16 or int32 with -1 outside the nonzero mask, or None.
        geometry: of the image file.
        transpose: permutation that was applied.
        shape_before_crop: of the transposed image.
        bbox: the box that was kept.
    """

    image: npt.NDArray[np.float32]
    label: npt.NDArray[Any] | None
    geometry: Geometry
    transpose: tuple[int, int, int]
    shape_before_crop: Shape
    bbox: Box

    @property
    def spacing(self) -> Spacing:
        """Voxel size in mm, in transposed order."""
        return permuted(self.geometry.spacing, self.transpose)

    @property
    def shape(self) -> Shape:
        """Voxels of the box."""
        _, z, y, x = self.image.shape
        return (z, y, x)


@dataclass(frozen=True)
class Resampling:
    """All that decides the outcome of resampling one case; equal for two configurations, equal results."""

    shape: Shape
    separate: int | None


def crop_and_normalise(image: Image, label: npt.NDArray[Any] | None, data: Data) -> CroppedCase:
    """Transpose, crop to the box of nonzero voxels and normalise. The inputs are left as they are.

    Args:
        image: as read.
        label: (Z, Y, X) integers on the image's grid, or None.
        data: the plan's data section.

    Raises:
        DatasetError: image and label differ in shape, or the intensities cannot be normalised as planned.
    """
    if label is not None and label.shape != image.array.shape[1:]:
        raise DatasetError(
            f"the image has shape {image.array.shape[1:]}, its label {label.shape} (z, y, x). "
            "Bring the label onto the image's grid."
        )
    order = data.transpose
    array = image.array.transpose(0, *(axis + 1 for axis in order))
    mask = nonzero_mask(array)
    bbox = bounding_box(mask)
    slices = box_slices(bbox)
    _, z, y, x = array.shape
    # A copy: normalisation works in place, and the caller keeps the image.
    cropped = np.array(array[(slice(None), *slices)], dtype=np.float32, order="C", copy=True)
    if label is not None or any(data.use_mask):
        mask = fill_holes(mask[slices])
    inside = None
    if label is not None:
        inside = np.array(label.transpose(order)[slices], dtype=_signed(label), order="C", copy=True)
        mark_outside(inside, mask)
        inside = inside[None]
    normalise(cropped, data, _normalisation_mask(mask, inside) if any(data.use_mask) else None)
    return CroppedCase(
        image=cropped,
        label=inside,
        geometry=image.geometry,
        transpose=(order[0], order[1], order[2]),
        shape_before_crop=(z, y, x),
        bbox=bbox,
    )


def resampling_of(case: CroppedCase, configuration: Configuration) -> Resampling:
    """Say how a configuration resamples a case."""
    target = _target_spacing(case, configuration)
    shape = new_shape(case.shape, case.spacing, target)
    return Resampling(shape, separate_axis(case.spacing, target) if shape != case.shape else None)


def resample_case(
    case: CroppedCase, configuration: Configuration
) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any] | None, CaseProperties]:
    """Resample to the configuration's spacing; see ``preprocess_case`` for the results."""
    target = _target_spacing(case, configuration)
    shape = resampling_of(case, configuration).shape
    image = resample_image(case.image, shape, case.spacing, target)
    label = None
    if case.label is not None:
        label = resample_label(case.label, shape, case.spacing, target)
        label = label.astype(_stored_type(label), copy=False)
    return image, label, properties_of(case, configuration)


def properties_of(case: CroppedCase, configuration: Configuration) -> CaseProperties:
    """Say what becomes of a case in a configuration, without doing it."""
    return CaseProperties(
        geometry=case.geometry,
        transpose=case.transpose,
        shape_before_crop=case.shape_before_crop,
        bbox=case.bbox,
        shape_after_crop=case.shape,
        shape=resampling_of(case, configuration).shape,
        spacing=_target_spacing(case, configuration),
    )


def preprocess_case(
    image: Image, label: npt.NDArray[Any] | None, data: Data, configuration: Configuration
) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any] | None, CaseProperties]:
    """Bring one case to what the network sees.

    Args:
        image: as read.
        label: (Z, Y, X) integers on the image's grid, or None.
        data: the plan's data section.
        configuration: gives the spacing.

    Returns:
        Image (C, Z, Y, X) float32; label (1, Z, Y, X) int8, or int16/int32 where a value needs it, with -1 for
        background outside the nonzero mask, or None; and what was done.

    Raises:
        DatasetError: image and label differ in shape, or the intensities cannot be normalised as planned.
    """
    return resample_case(crop_and_normalise(image, label, data), configuration)


def _target_spacing(case: CroppedCase, configuration: Configuration) -> Spacing:
    target = spacing_of(configuration.spacing)
    # nnU-Net: a 2d configuration leaves the distance between slices as it is.
    return (case.spacing[0], *target[1:]) if configuration.dims == 2 else target


def _normalisation_mask(mask: npt.NDArray[np.bool_], label: npt.NDArray[Any] | None) -> npt.NDArray[np.bool_]:
    """Labelled voxels count as inside even where the image is zero, as nnU-Net's mask ``seg >= 0`` has it."""
    return mask if label is None else label[0] >= 0


def _signed(label: npt.NDArray[Any]) -> type[np.int16] | type[np.int32]:
    return np.int16 if label.size == 0 or int(label.max()) <= np.iinfo(np.int16).max else np.int32


def _stored_type(label: npt.NDArray[Any]) -> type[np.signedinteger[Any]]:
    largest = int(label.max())
    if largest <= np.iinfo(np.int8).max:
        return np.int8
    return np.int16 if largest <= np.iinfo(np.int16).max else np.int32
