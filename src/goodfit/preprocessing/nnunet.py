"""What nnU-Net expects to find beside the arrays: its dataset.json and its properties of a case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.preprocessing.crop import OUTSIDE
from goodfit.preprocessing.locations import ANNOTATED

if TYPE_CHECKING:
    import numpy.typing as npt

    from goodfit.data.geometry import Geometry
    from goodfit.data.labels import Labels
    from goodfit.planning.plan import Data
    from goodfit.preprocessing.locations import Locations
    from goodfit.preprocessing.properties import CaseProperties


def data_folder_name(configuration: str) -> str:
    """Name of the folder with a configuration's arrays (nnU-Net: data_identifier).

    The cascade is trained on the arrays of 3d_fullres.
    """
    return f"nnUNetPlans_{configuration.replace('3d_cascade_fullres', '3d_fullres')}"


def dataset_json(data: Data, cases: int) -> dict[str, Any]:
    """Describe the dataset in nnU-Net's terms."""
    labels: dict[str, int | list[int]] = {"background": 0}
    for name, values in data.classes.items():
        labels[name] = values[0] if len(values) == 1 else list(values)
    if data.ignore is not None:
        labels["ignore"] = data.ignore
    content: dict[str, Any] = {
        "channel_names": {str(index): name for index, name in enumerate(data.channels)},
        "labels": labels,
        "numTraining": cases,
        "file_ending": data.file_ending,
        "name": data.name,
    }
    if data.regions_order is not None:
        content["regions_class_order"] = list(data.regions_order)
    return content


def case_properties(properties: CaseProperties, locations: Locations, labels: Labels) -> dict[str, Any]:
    """Describe a case as nnU-Net's loader and exporter read it."""
    geometry = properties.geometry
    # nnU-Net reads .nii with another library, whose notes on the geometry it then writes its labels by.
    affine = {} if geometry.dims == 2 else {"nibabel_stuff": {"original_affine": _affine(geometry)}}
    return {
        **affine,
        "sitk_stuff": {
            "spacing": tuple(reversed(geometry.spacing[3 - geometry.dims :])),
            "origin": geometry.origin,
            "direction": geometry.direction,
        },
        "spacing": list(geometry.spacing),
        "shape_before_cropping": properties.shape_before_crop,
        "bbox_used_for_cropping": [list(ends) for ends in properties.bbox],
        "shape_after_cropping_and_before_resampling": properties.shape_after_crop,
        "class_locations": {
            _class_key(key, labels): _with_channel(found) if len(found) else [] for key, found in locations.items()
        },
    }


def _affine(geometry: Geometry) -> npt.NDArray[np.float64]:
    """Matrix from voxel indices (x, y, z) to NIfTI's world, whose x and y point the other way than ITK's."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(geometry.direction, (3, 3)) * geometry.spacing[::-1]
    affine[:3, 3] = geometry.origin
    affine[:2] *= -1
    return affine


def _class_key(key: int, labels: Labels) -> int | tuple[int, ...]:
    if key == ANNOTATED:
        return (OUTSIDE, 0, *labels.foreground_values)
    if not labels.has_regions:
        return key
    values = labels.classes[labels.names[key]]
    return values if len(values) > 1 else values[0]


def _with_channel(locations: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Put a column of zeros first: nnU-Net's locations index (channel, z, y, x)."""
    return np.pad(locations, ((0, 0), (1, 0)))
