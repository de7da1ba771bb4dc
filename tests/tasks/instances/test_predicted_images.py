"""Predictions of images, found in a reference by their names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from goodfit.commands.evaluate import evaluate
from goodfit.errors import DatasetError
from goodfit.tasks.instances.predicted_images import is_predictions
from goodfit.tasks.instances.scores import InstanceScores

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["images/a/1.png", "images/b/1.png", "images/b/2.png"]
BOX = [4.0, 5.0, 20.0, 30.0]


def image(identity: int, name: str) -> dict[str, Any]:
    return {"id": identity, "file_name": name, "width": 60, "height": 50}


def objects(images: list[int], category: int, **more: Any) -> list[dict[str, Any]]:
    common = {"category_id": category, "bbox": BOX, "area": 600, "iscrowd": 0, **more}
    return [{"id": number, "image_id": one, **common} for number, one in enumerate(images, start=1)]


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    images = [image(70 + place, name) for place, name in enumerate(NAMES)]
    categories = [{"id": 3, "name": "cup"}, {"id": 9, "name": "person"}]
    folder = tmp_path / "data"
    folder.mkdir()
    content = {"images": images, "annotations": objects([70, 71, 72], 9), "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def predict(folder: Path, names: list[str], category: str = "person") -> Path:
    """Write what ``goodfit predict`` writes: names below images/, ids and categories counted from 1."""
    images = [image(number, name) for number, name in enumerate(names, start=1)]
    found = objects([one["id"] for one in images], 1, score=0.9)
    folder.mkdir()
    content = {"images": images, "annotations": found, "categories": [{"id": 1, "name": category}]}
    (folder / "predictions.json").write_text(json.dumps(content))
    return folder


def test_images_and_categories_are_found_by_name_whatever_their_ids(reference: Path, tmp_path: Path) -> None:
    scores = evaluate(predict(tmp_path / "out", ["b/2.png", "a/1.png", "b/1.png"]), reference)
    assert isinstance(scores, InstanceScores)
    assert scores.frames == 3
    assert scores.kinds["box"].categories["person"].ap == pytest.approx(1.0)
    assert scores.found == 3


def test_images_that_were_not_predicted_count_unless_left_out(reference: Path, tmp_path: Path) -> None:
    out = predict(tmp_path / "out", ["2.png", "nowhere.png"])
    scores = evaluate(out / "predictions.json", reference / "annotations.json")
    assert isinstance(scores, InstanceScores)
    assert (scores.frames, scores.found) == (3, 1)
    assert any("1 predicted image not in the reference, left out: nowhere.png" in note for note in scores.notes)
    only = evaluate(out, reference, only_predicted=True)
    assert isinstance(only, InstanceScores)
    assert (only.frames, only.found) == (1, 1)
    assert only.kinds["box"].ap == pytest.approx(1.0)


def test_an_ambiguous_name_is_no_match(reference: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none of its images is in the reference \(1\.png\)"):
        evaluate(predict(tmp_path / "out", ["1.png"]), reference)


def test_other_categories_are_refused(reference: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="none of its categories is in the reference, which has: cup, person"):
        evaluate(predict(tmp_path / "out", ["2.png"], "dog"), reference)


def test_a_folder_with_several_coco_files_is_asked_about(reference: Path, tmp_path: Path) -> None:
    (reference / "train").mkdir()
    (reference / "annotations.json").rename(reference / "train" / "annotations.json")
    (reference / "test").mkdir()
    (reference / "test" / "annotations.json").write_text((reference / "train" / "annotations.json").read_text())
    with pytest.raises(DatasetError, match="holds several COCO files"):
        evaluate(predict(tmp_path / "out", ["2.png"]), reference)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"images": [], "annotations": []}, True),
        ({"images": [], "annotations": [{"score": 0.5}]}, True),
        ({"images": [], "annotations": [{"bbox": BOX}]}, False),
        ([{"score": 0.5}], False),
        ({"annotations": []}, False),
    ],
)
def test_predictions_are_known_by_their_scores(content: Any, expected: bool) -> None:
    assert is_predictions(content) is expected
