from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from goodfit.data.geometry import Geometry
from goodfit.data.labels import Labels
from goodfit.data.readers import read_label, write_label
from goodfit.errors import DatasetError
from goodfit.tasks.segmentation.evaluation import evaluate_folders, find_labels

LABELS = Labels({"organ": (1,), "lesion": (2,)})
FLAT = Geometry((999.0, 1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0), 2)


def geometry(spacing=(2.0, 1.0, 1.0)):
    return Geometry(spacing, (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), 3)


def volume(shift=0):
    array = np.zeros((10, 12, 14), dtype=np.int16)
    array[2:6, 3 + shift : 8 + shift, 3:8] = 1
    array[7:9, 3:6, 3:6] = 2
    return array


@pytest.fixture
def folders(tmp_path):
    """Two cases: ``one`` predicted perfectly, ``two`` shifted by a voxel."""
    predictions, references = tmp_path / "predictions", tmp_path / "dataset" / "labelsTr"
    for case, shift in (("one", 0), ("two", 1)):
        write_label(predictions / f"{case}.nii.gz", volume(shift), geometry())
        write_label(references / f"{case}.nii.gz", volume(), geometry())
    return predictions, references


def test_scores_two_folders(folders):
    calls = []
    scores = evaluate_folders(*folders, LABELS, on_progress=lambda done, total: calls.append((done, total)))
    assert scores.cases["one"]["organ"].dice == 1
    assert scores.cases["two"]["organ"].dice == pytest.approx(0.8)
    assert scores.cases["two"]["organ"].hd95 == pytest.approx(1.0)
    assert scores.cases["two"]["organ"].reference_volume == pytest.approx(4 * 5 * 5 * 2 / 1000)
    assert scores.classes["organ"].dice.mean == pytest.approx(0.9)
    assert (scores.distance_unit, scores.volume_unit, scores.spacing_known) == ("mm", "ml", True)
    assert scores.notes == []
    assert calls == [(1, 2), (2, 2)]


def test_formats_of_the_folders_may_differ(folders):
    predictions, references = folders
    write_label(predictions / "two.nrrd", volume(1), geometry())
    (predictions / "two.nii.gz").unlink()
    assert evaluate_folders(predictions, references, LABELS).cases["two"]["organ"].dice == pytest.approx(0.8)


def test_classes_come_from_dataset_json(folders):
    predictions, references = folders
    above = {"labels": {"background": 0, "liver": 1, "tumour": 2}}
    (references.parent / "dataset.json").write_text(json.dumps(above))
    assert list(evaluate_folders(*folders).classes) == ["liver", "tumour"]
    beside = {"labels": {"background": 0, "all": [1, 2], "core": [2]}, "regions_class_order": [1, 2]}
    (predictions / "dataset.json").write_text(json.dumps(beside))
    scores = evaluate_folders(*folders)
    assert list(scores.classes) == ["all", "core"]
    assert scores.cases["one"]["all"].reference_volume > scores.cases["one"]["core"].reference_volume


def test_classes_come_from_the_values_without_dataset_json(folders):
    assert find_labels(*folders) is None
    assert list(evaluate_folders(*folders).classes) == ["1", "2"]


def test_nothing_but_background(tmp_path):
    for name in ("p", "r"):
        write_label(tmp_path / name / "one.nii.gz", volume() * 0, geometry())
    with pytest.raises(DatasetError, match="nothing can be scored"):
        evaluate_folders(tmp_path / "p", tmp_path / "r")


def test_missing_predictions_are_named(folders):
    predictions, references = folders
    (predictions / "two.nii.gz").unlink()
    with pytest.raises(DatasetError, match=r"1 of 2 cases have no prediction: two\."):
        evaluate_folders(predictions, references, LABELS)
    assert list(evaluate_folders(predictions, references, LABELS, cases=["one"]).cases) == ["one"]


def test_asked_case_without_reference(folders):
    with pytest.raises(DatasetError, match="no reference for three"):
        evaluate_folders(*folders, LABELS, cases=["one", "three"])


def test_prediction_without_reference_is_noted(folders):
    predictions, references = folders
    shutil.copy(predictions / "one.nii.gz", predictions / "three.nii.gz")
    scores = evaluate_folders(predictions, references, LABELS)
    assert list(scores.cases) == ["one", "two"]
    assert "three" in scores.notes[0]
    assert evaluate_folders(predictions, references, LABELS, cases=["one"]).notes == []


def test_every_bad_case_is_named_at_once(folders):
    predictions, references = folders
    write_label(predictions / "one.nii.gz", volume()[:-1], geometry())
    write_label(predictions / "two.nii.gz", volume() * 4, geometry())
    with pytest.raises(DatasetError) as caught:
        evaluate_folders(predictions, references, LABELS)
    message = str(caught.value)
    assert f"{predictions / 'one.nii.gz'}: shape 9x12x14 differs from 10x12x14" in message
    assert f"{predictions / 'two.nii.gz'}: holds the values 4, 8, known are 0, 1, 2" in message


def test_folder_problems(folders, tmp_path):
    predictions, references = folders
    with pytest.raises(DatasetError, match="no such folder"):
        evaluate_folders(tmp_path / "nowhere", references)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no label files"):
        evaluate_folders(predictions, tmp_path / "empty")
    write_label(predictions / "one.nrrd", volume(), geometry())
    with pytest.raises(DatasetError, match="case one has two files"):
        evaluate_folders(predictions, references)


def test_other_geometry_is_noted_and_the_reference_counts(folders):
    predictions, references = folders
    write_label(predictions / "two.nii.gz", volume(1), geometry((2.0, 5.0, 1.0)))
    scores = evaluate_folders(predictions, references, LABELS)
    assert scores.cases["two"]["organ"].hd95 == pytest.approx(1.0)
    assert "another geometry" in scores.notes[0]


@pytest.mark.parametrize(("tolerance", "note"), [(0.5, "below the in-plane voxel size"), (1.0, None), (6.0, "lenient")])
def test_tolerance_that_does_not_suit_is_noted(folders, tolerance, note):
    notes = evaluate_folders(*folders, LABELS, tolerance_mm=tolerance).notes
    assert notes == [] if note is None else note in notes[0]


def test_png_is_scored_in_voxels(tmp_path):
    for folder, shift in (("p", 1), ("r", 0)):
        write_label(tmp_path / folder / "one.png", volume(shift)[4:5], FLAT)
    scores = evaluate_folders(tmp_path / "p", tmp_path / "r", Labels({"organ": (1,)}))
    assert (scores.distance_unit, scores.volume_unit, scores.spacing_known) == ("voxels", "voxels", False)
    assert scores.cases["one"]["organ"].reference_volume == 25
    assert scores.cases["one"]["organ"].hd95 == 1


def test_flat_nifti_is_scored_in_square_millimetres(tmp_path):
    flat = Geometry((999.0, 2.0, 0.5), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0), 2)
    for folder in ("p", "r"):
        write_label(tmp_path / folder / "one.nii.gz", volume()[4:5], flat)
    scores = evaluate_folders(tmp_path / "p", tmp_path / "r", Labels({"organ": (1,)}))
    assert (scores.distance_unit, scores.volume_unit) == ("mm", "mm²")
    assert scores.cases["one"]["organ"].reference_volume == pytest.approx(25)


def test_ignored_voxels_do_not_count(tmp_path):
    reference = volume()
    reference[reference == 2] = 3
    write_label(tmp_path / "p" / "one.nii.gz", (volume() > 0).astype(np.int16), geometry())
    write_label(tmp_path / "r" / "one.nii.gz", reference, geometry())
    scores = evaluate_folders(tmp_path / "p", tmp_path / "r", Labels({"organ": (1,)}, ignore=3))
    assert scores.mean_dice == 1


def test_real_labels_against_themselves_and_shifted(shared_data, tmp_path):
    references = shared_data("Dataset004_Hippocampus") / "labelsTr"
    cases = sorted(path.name.removesuffix(".nii.gz") for path in references.glob("*.nii.gz"))[:6]
    for index, case in enumerate(cases):
        label, where = read_label(references / f"{case}.nii.gz")
        write_label(tmp_path / f"{case}.nii.gz", np.roll(label, min(index, 1), axis=1), where)
    scores = evaluate_folders(tmp_path, references, cases=cases, set_name="test")
    assert list(scores.classes) == ["Anterior", "Posterior"]
    assert scores.ranked()[-1] == cases[0]
    assert scores.case_dice(cases[0]) == 1
    assert all(0.6 < scores.case_dice(case) < 0.97 for case in cases[1:])
    assert scores.classes["Anterior"].hd95.median == pytest.approx(1.0)
