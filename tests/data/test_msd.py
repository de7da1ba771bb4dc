"""Decathlon datasets as nnU-Net's raw layout."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK as sitk

from goodfit.data.dataset import open_dataset
from goodfit.data.msd import convert_msd
from goodfit.data.readers import read_image
from goodfit.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

DIRECTION = (0.0, -1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)


def volume(array: np.ndarray, *, four: bool) -> sitk.Image:
    image = sitk.JoinSeries([sitk.GetImageFromArray(part) for part in array]) if four else sitk.GetImageFromArray(array)
    image.SetSpacing((0.5, 0.75, 2.0, 1.0)[: 4 if four else 3])
    image.SetOrigin((3.0, -4.0, 5.0, 0.0)[: 4 if four else 3])
    if four:
        image.SetDirection(DIRECTION)
    else:
        image.SetDirection(np.reshape(DIRECTION, (4, 4))[:3, :3].ravel().tolist())
    return image


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two labelled cases and a test case with two channels, and what a Mac leaves beside them."""
    folder = tmp_path / "Task07_Tiny"
    for name in ("imagesTr", "labelsTr", "imagesTs"):
        (folder / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for kind, case in (("imagesTr", "tiny_001"), ("imagesTr", "tiny_002"), ("imagesTs", "tiny_003")):
        values = random.integers(-500, 500, (2, 4, 6, 5)).astype(np.int16)
        sitk.WriteImage(volume(values, four=True), str(folder / kind / f"{case}.nii.gz"))
        (folder / kind / f"._{case}.nii.gz").write_bytes(b"Mac OS X")
        if kind == "imagesTr":
            label = random.integers(0, 3, (4, 6, 5)).astype(np.uint8)
            sitk.WriteImage(volume(label, four=False), str(folder / "labelsTr" / f"{case}.nii.gz"))
    pairs = [{"image": f"./imagesTr/tiny_00{n}.nii.gz", "label": f"./labelsTr/tiny_00{n}.nii.gz"} for n in (1, 2)]
    description = {
        "name": "Tiny",
        "licence": "CC-BY-SA 4.0",
        "modality": {"0": "T2", "1": "ADC"},
        "labels": {"0": "background", "1": "PZ", "2": "TZ"},
        "numTraining": 2,
        "numTest": 1,
        "training": pairs,
        "test": ["./imagesTs/tiny_003.nii.gz"],
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def test_channels_become_files_and_names_become_keys(source: Path, tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    done = convert_msd(source, tmp_path / "Dataset007_Tiny", on_progress=lambda *step: progress.append(step))
    assert (done.training, done.test, done.channels, done.notes) == (2, 1, ("T2", "ADC"), [])
    assert progress[-1] == (5, 5)
    dataset = open_dataset(done.folder)
    assert [case.name for case in dataset.cases] == ["tiny_001", "tiny_002"]
    assert [case.name for case in dataset.test_cases] == ["tiny_003"]
    assert dataset.channels == ("T2", "ADC")
    assert dataset.labels.classes == {"PZ": (1,), "TZ": (2,)}
    case = dataset.case("tiny_001")
    original = sitk.ReadImage(str(source / "imagesTr" / "tiny_001.nii.gz"))
    image = read_image(case.images, 2)
    assert np.array_equal(image.array, sitk.GetArrayFromImage(original))
    assert image.geometry.spacing == (2.0, 0.75, 0.5)
    assert image.geometry.origin == (3.0, -4.0, 5.0)
    assert np.allclose(image.geometry.direction, np.reshape(DIRECTION, (4, 4))[:3, :3].ravel())
    assert sitk.ReadImage(str(case.images[1])).GetPixelID() == sitk.sitkInt16
    assert case.label is not None
    assert case.label.read_bytes() == (source / "labelsTr" / "tiny_001.nii.gz").read_bytes()
    kept = json.loads((done.folder / "dataset.json").read_text())
    assert kept["licence"] == "CC-BY-SA 4.0"
    assert not {"modality", "training", "test"} & kept.keys()


def test_volumes_of_one_channel_are_copied(source: Path, tmp_path: Path) -> None:
    for kind in ("imagesTr", "imagesTs"):
        for file in (source / kind).glob("tiny_*.nii.gz"):
            sitk.WriteImage(volume(np.ones((4, 6, 5), np.float32), four=False), str(file))
    content = json.loads((source / "dataset.json").read_text())
    (source / "dataset.json").write_text(json.dumps({**content, "modality": {"0": "MRI"}}))
    target = convert_msd(source, tmp_path / "out").folder
    copied = target / "imagesTr" / "tiny_002_0000.nii.gz"
    assert copied.read_bytes() == (source / "imagesTr" / "tiny_002.nii.gz").read_bytes()


def test_without_test_images_there_is_a_note(source: Path, tmp_path: Path) -> None:
    shutil.rmtree(source / "imagesTs")
    done = convert_msd(source, tmp_path / "out")
    assert done.test == 0
    assert "there is no imagesTs" in done.notes[0]


def test_what_is_no_decathlon_dataset_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere: there is no such folder"):
        convert_msd(tmp_path / "nowhere", tmp_path / "out")
    content = json.loads((source / "dataset.json").read_text())
    for change, message in (
        ({"modality": {"1": "T2"}}, "modality should number the channels"),
        ({"labels": {"background": 0}}, "labels should map values to names"),
        ({"labels": {"0": "x", "1": "x"}}, "a name occurs twice"),
    ):
        (source / "dataset.json").write_text(json.dumps({**content, **change}))
        with pytest.raises(DatasetError, match=message):
            convert_msd(source, tmp_path / "out")
    del content["modality"]
    (source / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match="has no modality, so this is no decathlon dataset"):
        convert_msd(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_cases_and_wrong_channels_are_named(source: Path, tmp_path: Path) -> None:
    content = json.loads((source / "dataset.json").read_text())
    (source / "dataset.json").write_text(json.dumps({**content, "modality": {"0": "T2"}}))
    with pytest.raises(DatasetError, match="3 files cannot be converted") as caught:
        convert_msd(source, tmp_path / "out")
    assert "4 axes with 2 channels; dataset.json names 1" in str(caught.value)
    (source / "dataset.json").write_text(json.dumps(content))
    (source / "labelsTr" / "tiny_002.nii.gz").unlink()
    with pytest.raises(DatasetError, match="listed with a file in labelsTr that is not there: tiny_002"):
        convert_msd(source, tmp_path / "out")
    (source / "dataset.json").write_text(json.dumps({**content, "training": []}))
    with pytest.raises(DatasetError, match="have image or label, not both: tiny_002"):
        convert_msd(source, tmp_path / "out")


def test_a_truncated_file_stops_it_and_the_same_call_goes_on_once_it_is_mended(source: Path, tmp_path: Path) -> None:
    file = source / "imagesTr" / "tiny_001.nii.gz"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=r"tiny_001\.nii\.gz: the file is truncated"):
        convert_msd(source, tmp_path / "out")
    assert not (tmp_path / "out" / "dataset.json").exists()
    file.write_bytes(whole)
    convert_msd(source, tmp_path / "out")
    with pytest.raises(DatasetError, match="there is a dataset already"):
        convert_msd(source, tmp_path / "out")
    with pytest.raises(DatasetError, match=r"there is a dataset already|is the source itself"):
        convert_msd(source, source)
