"""dataset.json in the forms that are in the wild, and messages for those that cannot be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from goodfit.data.description import parse_labels, read_description
from goodfit.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

GOOD: dict[str, Any] = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "liver": 1, "tumour": 2},
    "file_ending": ".nii.gz",
    "numTraining": 3,
    "overwrite_image_reader_writer": "SimpleITKIO",
}


def read(tmp_path: Path, **changes: Any) -> Any:
    (tmp_path / "dataset.json").write_text(json.dumps({**GOOD, **changes}))
    return read_description(tmp_path / "dataset.json")


def test_usual_form(tmp_path: Path) -> None:
    description = read(tmp_path)
    assert description.channels == ("CT",)
    assert description.labels.classes == {"liver": (1,), "tumour": (2,)}
    assert description.labels.ignore is None
    assert description.file_ending == ".nii.gz"
    assert description.name is None
    assert description.files is None


def test_legacy_modality_and_labels(tmp_path: Path) -> None:
    content = {"modality": {"0": "FLAIR", "1": "T1"}, "labels": {"0": "background", "2": "b", "1": "a"}, "name": "old"}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    description = read_description(tmp_path / "dataset.json")
    assert description.channels == ("FLAIR", "T1")
    assert description.labels.classes == {"a": (1,), "b": (2,)}
    assert description.file_ending is None
    assert description.name == "old"


def test_channel_forms(tmp_path: Path) -> None:
    assert read(tmp_path, channel_names=["R", "G"]).channels == ("R", "G")
    assert read(tmp_path, channel_names={"1": "b", "0": "a"}).channels == ("a", "b")
    assert read(tmp_path, channel_names={"T1": 1, "CT": 0}).channels == ("CT", "T1")
    assert read(tmp_path, file_ending="png").file_ending == ".png"


def test_regions_and_ignore(tmp_path: Path) -> None:
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3, "ignore": 4}
    result = read(tmp_path, labels=labels, regions_class_order=[1, 2, 3]).labels
    assert result.classes == {"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)}
    assert result.regions_order == (1, 2, 3)
    assert result.ignore == 4
    assert result.outputs == 3


def test_plain_labels_are_ordered_by_value_and_lists_of_one_are_plain() -> None:
    result = parse_labels({"b": [7], "background": 0, "a": 3}, None, "x")
    assert list(result.classes.items()) == [("a", (3,)), ("b", (7,))]
    assert result.regions_order is None


def test_explicit_files(tmp_path: Path) -> None:
    files = {"a": {"images": ["x/a_0000.nii.gz"], "label": "y/a.nii.gz"}, "b": {"images": "x/b.nii.gz"}}
    assert read(tmp_path, dataset=files).files == {
        "a": (("x/a_0000.nii.gz",), "y/a.nii.gz"),
        "b": (("x/b.nii.gz",), None),
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channel_names": None}, "channel_names is missing"),
        ({"channel_names": {}}, "channel_names is missing"),
        ({"channel_names": {"0": "a", "2": "b"}}, "without a gap"),
        ({"channel_names": {"x": "a"}}, "keys are channel numbers"),
        ({"labels": None}, "labels: missing"),
        ({"labels": {"background": 0}}, "no class besides"),
        ({"labels": {"background": 1, "a": 2}}, "'background' must be 0"),
        ({"labels": {"a": 0, "b": 1}}, "'a' holds the value 0"),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, "both have the value 1"),
        ({"labels": {"background": 0, "a": -1}}, "'a' is -1"),
        ({"labels": {"background": 0, "a": 1.5}}, "'a' is 1.5"),
        ({"labels": {"background": 0, "a": True}}, "'a' is True"),
        ({"labels": {"background": 0, "a": []}}, "empty list"),
        ({"labels": {"background": 0, "a": 1, "ignore": 1}}, "ignore label"),
        ({"labels": {"background": 0, "a": 1, "ignore": [2, 3]}}, "one value above 0"),
        ({"labels": {"0": "background", "1": "a", "2": "a"}}, "occurs twice"),
        ({"labels": {"background": 0, "a": [1, 2], "b": 2}}, "regions_class_order is missing"),
        ({"labels": {"a": [1, 2], "b": 2}, "regions_class_order": [1]}, "1 values for 2 regions"),
        ({"labels": {"a": [1, 2], "b": 2}, "regions_class_order": [1, 3]}, "3 stands for 'b'"),
        ({"file_ending": 3}, "file_ending is 3"),
        ({"dataset": []}, "dataset must map"),
        ({"dataset": {"a": {"label": "x"}}}, "case 'a'"),
    ],
)
def test_what_cannot_be_is_refused_by_field(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        read(tmp_path, **changes)
    assert "dataset.json" in str(caught.value)


def test_no_json_and_no_object(tmp_path: Path) -> None:
    file = tmp_path / "dataset.json"
    file.write_text('{"labels": ')
    with pytest.raises(DatasetError, match="line 1"):
        read_description(file)
    file.write_text("[]")
    with pytest.raises(DatasetError, match="JSON object"):
        read_description(file)
