from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from goodfit.data.geometry import Geometry
from goodfit.data.labels import Labels
from goodfit.data.readers import read_image
from goodfit.preprocessing.locations import ANNOTATED
from goodfit.preprocessing.nnunet import case_properties, data_folder_name, dataset_json
from goodfit.preprocessing.properties import CaseProperties

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.planning.plan import Data

PLANE = Geometry(spacing=(999.0, 2.0, 1.0), origin=(5.0, 6.0), direction=(1.0, 0, 0, 1.0), dims=2)
FOUND = np.array([[0, 4, 5]], dtype=np.int32)


@pytest.fixture
def properties() -> CaseProperties:
    return CaseProperties(
        geometry=PLANE,
        transpose=(0, 1, 2),
        shape_before_crop=(1, 9, 9),
        bbox=((0, 1), (1, 8), (2, 9)),
        shape_after_crop=(1, 7, 7),
        shape=(1, 7, 7),
        spacing=(999.0, 2.0, 1.0),
    )


def test_the_data_folder_has_nnunets_name() -> None:
    assert data_folder_name("3d_fullres") == "nnUNetPlans_3d_fullres"


def test_geometry_is_in_itks_order_and_dimension(properties: CaseProperties) -> None:
    described = case_properties(properties, {}, Labels({"organ": (1,)}))

    assert described["sitk_stuff"] == {
        "spacing": (1.0, 2.0),
        "origin": (5.0, 6.0),
        "direction": (1.0, 0, 0, 1.0),
    }
    assert described["spacing"] == [999.0, 2.0, 1.0]
    assert described["bbox_used_for_cropping"] == [[0, 1], [1, 8], [2, 9]]


def test_a_volume_has_the_affine_of_its_nifti_file(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="the judge of NIfTI geometry is not installed")
    affine = np.array([[0, -2.0, 0, 7], [1.5, 0, 0, -8], [0, 0, 3.0, 9], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5), np.float32), affine), tmp_path / "volume.nii")
    geometry = read_image([tmp_path / "volume.nii"]).geometry
    box = ((0, 5), (0, 4), (0, 3))
    properties = CaseProperties(geometry, (0, 1, 2), (5, 4, 3), box, (5, 4, 3), (5, 4, 3), geometry.spacing)

    described = case_properties(properties, {}, Labels({"organ": (1,)}))

    assert np.allclose(described["nibabel_stuff"]["original_affine"], affine)


def test_locations_of_plain_labels_get_a_channel_column(properties: CaseProperties) -> None:
    absent = np.zeros((0, 3), dtype=np.int32)

    described = case_properties(properties, {1: FOUND, 2: absent}, Labels({"organ": (1,), "lesion": (2,)}))

    assert described["class_locations"][1].tolist() == [[0, 0, 4, 5]]
    assert described["class_locations"][2] == []


def test_regions_and_annotated_voxels_get_nnunets_keys(properties: CaseProperties) -> None:
    labels = Labels({"whole": (1, 2), "core": (2,)}, ignore=3, regions_order=(1, 2))

    described = case_properties(properties, {0: FOUND, 1: FOUND, ANNOTATED: FOUND}, labels)

    assert list(described["class_locations"]) == [(1, 2), 2, (-1, 0, 1, 2)]


def test_dataset_json_names_regions_and_ignore_label(make_data: Callable[..., Data]) -> None:
    data = make_data(2, classes={"whole": [1, 2], "core": [2]}, ignore=3, regions_order=[1, 2])

    described = dataset_json(data, 5)

    assert described["labels"] == {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    assert described["regions_class_order"] == [1, 2]
    assert described["channel_names"] == {"0": "channel0", "1": "channel1"}
    assert described["numTraining"] == 5
