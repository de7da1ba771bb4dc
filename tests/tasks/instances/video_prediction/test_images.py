from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image as Pictures

from goodfit.data.instances.pictures import read_picture
from goodfit.errors import ImageFileError, SettingsError
from goodfit.files import read_json
from goodfit.tasks.instances.video_prediction import predict_images
from goodfit.tasks.instances.video_prediction.images import overlay_name
from goodfit.tasks.instances.video_prediction.workers import StageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.tasks.instances.detection import Detection

    Detect = Callable[[list[np.ndarray]], list[Detection]]


def picture(height: int, width: int) -> np.ndarray:
    image = np.full((height, width, 3), 20, np.uint8)
    image[20:40, 10:30] = 230
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    (images / "deep").mkdir(parents=True)
    for name, size in {"b.png": (64, 96), "a.jpg": (80, 50), "deep/c.png": (50, 120)}.items():
        Pictures.fromarray(picture(*size)).save(images / name)
    (images / "notes.txt").write_text("no image")
    return images


def test_folder_gives_overlays_and_one_coco_file(folder: Path, tmp_path: Path, find_squares: Detect) -> None:
    progress: list[tuple[int, int]] = []
    result = predict_images(
        find_squares,
        folder,
        tmp_path / "out",
        categories=["person"],
        batch=2,
        on_progress=lambda done, total: progress.append((done, total)),
    )
    assert (result.images, result.instances) == (3, 3)
    assert progress == [(1, 3), (2, 3), (3, 3)]
    content = read_json(result.predictions)
    assert [(entry["file_name"], entry["height"], entry["width"]) for entry in content["images"]] == [
        ("a.jpg", 80, 50),
        ("b.png", 64, 96),
        ("deep/c.png", 50, 120),
    ]
    assert content["annotations"][1]["bbox"] == [10, 20, 20, 20]
    assert content["annotations"][1]["score"] == pytest.approx(0.9, abs=1e-4)
    assert content["annotations"][1]["segmentation"]["size"] == [64, 96]
    overlay = read_picture(tmp_path / "out" / "deep" / "c.png")
    assert overlay.shape == (50, 120, 3)
    assert np.ptp(overlay[25:35, 15:25].astype(int), axis=2).mean() > 25
    assert (overlay[42:, 60:] == 20).all()
    assert (tmp_path / "out" / "a.jpg.png").is_file()


def test_distances_of_images(folder: Path, tmp_path: Path, find_squares: Detect) -> None:
    def detect(images: list[tuple[int, np.ndarray]]) -> list[Detection]:
        found = find_squares([image for _, image in images])
        return [replace(one, distance=float(height)) for one, (height, _) in zip(found, images, strict=True)]

    result = predict_images(
        detect,
        folder,
        tmp_path / "out",
        categories=["person"],
        prepare=lambda image: (image.shape[0], image),
        unusual_from=60,
    )
    assert result.names == ["a.jpg", "b.png", "deep/c.png"]
    assert result.log.unusual.tolist() == [True, True, False]
    assert [entry["distance"] for entry in read_json(result.predictions)["images"]] == [80, 64, 50]
    with result.frames.open(newline="") as stream:
        assert [(row["instances"], row["distance"], row["unusual"]) for row in csv.DictReader(stream)] == [
            ("1", "80.0000", "1"),
            ("1", "64.0000", "1"),
            ("1", "50.0000", "0"),
        ]


def test_single_image(folder: Path, tmp_path: Path, find_squares: Detect) -> None:
    result = predict_images(find_squares, folder / "b.png", tmp_path / "out", categories=["person"])
    assert result.images == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b.png", "frames.csv", "predictions.json"]


def test_unsure_instances_are_listed_but_not_drawn(folder: Path, tmp_path: Path, find_squares: Detect) -> None:
    result = predict_images(find_squares, folder / "b.png", tmp_path / "out", categories=["person"], score=0.95)
    assert result.instances == 1
    assert np.array_equal(read_picture(tmp_path / "out" / "b.png"), picture(64, 96))


def test_damaged_image_is_named(folder: Path, tmp_path: Path, find_squares: Detect) -> None:
    content = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(StageError, match=r"reading: .*b\.png"):
        predict_images(find_squares, folder, tmp_path / "out", categories=["person"])
    assert not (tmp_path / "out" / "predictions.json").exists()


def test_senseless_requests_are_refused(folder: Path, tmp_path: Path, find_squares: Detect) -> None:
    with pytest.raises(SettingsError, match="among the images"):
        predict_images(find_squares, folder, folder, categories=["person"])
    with pytest.raises(SettingsError, match="whole number"):
        predict_images(find_squares, folder, tmp_path / "out", categories=["person"], batch=0)
    with pytest.raises(ImageFileError, match="no such file or folder"):
        predict_images(find_squares, tmp_path / "none", tmp_path / "out", categories=["person"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageFileError, match="no image below"):
        predict_images(find_squares, tmp_path / "empty", tmp_path / "out", categories=["person"])


def test_overlays_of_one_name_do_not_meet() -> None:
    assert overlay_name("x/a.png") == "x/a.png"
    assert overlay_name("x/a.jpg") == "x/a.jpg.png"
