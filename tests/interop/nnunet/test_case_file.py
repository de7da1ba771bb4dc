from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from goodfit.data.geometry import Geometry
from goodfit.data.labels import Labels
from goodfit.errors import DatasetError
from goodfit.interop.nnunet.case_file import CaseFile, read_case_file
from goodfit.preprocessing.locations import ANNOTATED

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.planning.plan import Configuration, Plan

LABEL_GEOMETRY = Geometry((999.0, 1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0), 2)
LABELS = Labels({"left": (1,), "right": (2,)})


def content(**changes: Any) -> dict[str, Any]:
    values = {
        "sitk_stuff": {
            "spacing": (1.0, 2.0, 3.0),
            "origin": (4.0, 5.0, 6.0),
            "direction": (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0),
        },
        "spacing": [3.0, 2.0, 1.0],
        "shape_before_cropping": (9, 10, 11),
        "bbox_used_for_cropping": [[0, 9], [1, 9], [np.int64(2), 9]],
        "shape_after_cropping_and_before_resampling": (9, 8, 7),
        "class_locations": {1: np.array([[0, 1, 2, 3], [0, 4, 5, 6]]), 2: []},
    }
    return {**values, **changes}


def noted(**changes: Any) -> CaseFile:
    return CaseFile(Path("c0.pkl"), content(**changes))


def label_geometry() -> Geometry:
    return LABEL_GEOMETRY


@pytest.fixture
def configuration(tiny_plan: Callable[..., Plan]) -> Configuration:
    return tiny_plan(configuration={"spacing": [4.0, 1.0, 1.0]}).chosen


def test_properties_are_those_of_a_case(configuration: Configuration) -> None:
    properties = noted().properties((5, 8, 7), label_geometry, configuration, (0, 1, 2))
    assert properties.geometry.spacing == (3, 2, 1)
    assert properties.geometry.origin == (4, 5, 6)
    assert properties.shape_before_crop == (9, 10, 11)
    assert properties.bbox == ((0, 9), (1, 9), (2, 9))
    assert properties.shape_after_crop == (9, 8, 7)
    assert properties.shape == (5, 8, 7)
    assert properties.spacing == (4, 1, 1)


def test_slices_keep_their_distance_in_a_2d_configuration(tiny_plan: Callable[..., Plan]) -> None:
    values = tiny_plan().chosen.model_dump()
    network = {**values["network"], "kernel_sizes": [[3, 3]] * 2, "strides": [[1, 1], [2, 2]]}
    flat = type(tiny_plan().chosen).model_validate({**values, "name": "2d", "patch_size": [8, 8], "network": network})
    properties = noted().properties((9, 8, 7), label_geometry, flat, (2, 0, 1))
    assert properties.spacing == (1.0, 1.0, 1.0)
    assert properties.spacing_before == (1, 3, 2)


@pytest.mark.parametrize("where", [None, {"spacing": (1, 1, 1, 1), "origin": (0,) * 4, "direction": (1,) * 16}])
def test_where_nnunet_notes_no_geometry_of_a_volume_the_label_file_has_it(where: Any) -> None:
    assert noted(sitk_stuff=where).geometry(label_geometry) == LABEL_GEOMETRY


def test_locations_lose_their_channel_and_keep_goodfits_keys() -> None:
    found = noted().locations((9, 8, 7), LABELS)
    assert found[1].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert found[1].dtype == np.int32
    assert found[2].shape == (0, 3)


def test_regions_are_found_by_their_values_and_annotated_voxels_by_minus_one() -> None:
    voxels = np.array([[0, 1, 1, 1]])
    table = {(2, 1): voxels, 2: np.add(voxels, [[0, 1, 0, 0]]), (-1, 0, 1, 2): np.add(voxels, [[0, 2, 0, 0]])}
    labels = Labels({"whole": (1, 2), "core": (2,)}, ignore=3, regions_order=(1, 2))
    file = noted(class_locations=table)
    found = file.locations((9, 8, 7), labels)
    assert {key: voxels.tolist() for key, voxels in found.items()} == {
        0: [[1, 1, 1]],
        1: [[2, 1, 1]],
        ANNOTATED: [[3, 1, 1]],
    }
    assert file.counts() == {frozenset({1, 2}): 1, frozenset({2}): 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bbox_used_for_cropping": [[0, 9], [1, 9], [2, 12]]}, "bbox_used_for_cropping"),
        ({"bbox_used_for_cropping": [[0, 9], [1, 9]]}, "bbox_used_for_cropping is no box"),
        ({"shape_before_cropping": "long"}, "shape_before_cropping is no shape"),
        ({"sitk_stuff": {"spacing": (1,)}}, "sitk_stuff"),
    ],
)
def test_what_cannot_be_is_refused_by_name(changes: dict[str, Any], message: str, configuration: Configuration) -> None:
    with pytest.raises(DatasetError, match=message) as error:
        noted(**changes).properties((9, 8, 7), label_geometry, configuration, (0, 1, 2))
    assert "c0.pkl" in str(error.value)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "class_locations is missing"),
        ({1: []}, "no entry for 'right'"),
        ({1: np.array([[0, 9, 0, 0]]), 2: []}, "does not hold voxels of an array of"),
        ({1: np.array([[0.5, 1, 1, 1]]), 2: []}, "does not hold voxels"),
        ({1: np.array([[1, 1, 1]]), 2: []}, "does not hold voxels"),
        ({1: [[1, 2], [3]], 2: []}, "is not voxels by class"),
        ({"left": [], 2: []}, "is not voxels by class"),
        ({1: 5, 2: []}, "is not voxels by class"),
    ],
)
def test_wrong_locations_are_refused(table: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        noted(class_locations=table).locations((9, 8, 7), LABELS)


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "c0.pkl"
    file.write_bytes(pickle.dumps(content()))
    assert read_case_file(file).counts() == {frozenset({1}): 2, frozenset({2}): 0}


class Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed",)


@pytest.mark.parametrize("bad", [pickle.dumps({"spacing": Runs()}), b"no pickle", b"", pickle.dumps([1, 2])])
def test_a_file_with_anything_else_is_refused_and_nothing_is_run(
    bad: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c0.pkl").write_bytes(bad)
    with pytest.raises(DatasetError, match="not nnU-Net's properties of a case"):
        read_case_file(tmp_path / "c0.pkl")
    assert not (tmp_path / "executed").exists()
    with pytest.raises(DatasetError, match="there is no such file"):
        read_case_file(tmp_path / "c1.pkl")
