from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask

from goodfit.data.instances.dataset import open_instances
from goodfit.data.instances.masks import decode_mask, encode_mask
from goodfit.data.video.index import open_video
from goodfit.files import read_json
from goodfit.tasks.instances.detection import Detection
from goodfit.tasks.instances.tracking import UNTRACKED
from goodfit.tasks.instances.video_prediction.marks import Found
from goodfit.tasks.instances.video_prediction.tables import CSV_COLUMNS, Track, TrackTables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CATEGORIES = ["person", 'odd, "quoted" größer']


def mask_at(x: int) -> np.ndarray:
    mask = np.zeros((64, 96), bool)
    mask[10:30, x : x + 15] = True
    return mask


def found(number: int, masks: bool = True) -> Found:
    boxes = np.array([[5, 10, 20, 30], [40.254, 10, 55, 30]], np.float32)
    codes = [encode_mask(mask_at(5)), encode_mask(mask_at(40))] if masks else None
    detection = Detection(boxes, np.array([0.9, 0.61], np.float32), np.array([1, 2]), codes)
    return Found(number, number / 25, detection, np.array([3, UNTRACKED]))


@pytest.fixture
def written(tmp_path: Path, write_video: Callable[..., Path]) -> dict[str, Path]:
    video = open_video(write_video(tmp_path / "film.mp4", [number / 25 for number in range(8)]))
    files = {kind: tmp_path / f"film.{kind}" for kind in ("json", "csv", "mot")}
    with TrackTables(files, video, CATEGORIES) as tables:
        for number in (0, 4):
            tables.add(found(number))
        assert tables.tracks == {3: Track(1, 0.0, 0.16, 2)}
        assert not any(file.exists() for file in files.values())
    return files


def test_json_is_a_dataset_of_ours(written: dict[str, Path]) -> None:
    content = read_json(written["json"])
    assert [entry["frame"] for entry in content["images"]] == [0, 4]
    assert content["annotations"][0]["score"] == pytest.approx(0.9, abs=1e-4)
    dataset = open_instances(written["json"])
    assert dataset.problems == ()
    assert dataset.categories == tuple(CATEGORIES)
    assert [instance.track for instance in dataset.frames[0].instances] == [3, None]
    assert np.array_equal(decode_mask(dataset.frames[1].instances[1], 64, 96), mask_at(40))
    assert dataset.frames[1].time == pytest.approx(0.16)
    assert dataset.frames[0].instances[0].area == 300


def test_csv_has_a_row_for_each_instance(written: dict[str, Path]) -> None:
    with written["csv"].open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [(row["frame"], row["id"], row["class"]) for row in rows] == [
        ("0", "3", "person"),
        ("0", "", CATEGORIES[1]),
        ("4", "3", "person"),
        ("4", "", CATEGORIES[1]),
    ]
    assert [float(rows[1][key]) for key in ("time", "score", "x", "y", "width", "height")] == pytest.approx(
        [0, 0.61, 40.25, 10, 14.75, 20]
    )
    again = coco_mask.decode({"size": [64, 96], "counts": rows[0]["mask"].encode()})
    assert np.array_equal(again, mask_at(5))


def test_mot_file_is_read_by_the_library_that_scores_it(written: dict[str, Path]) -> None:
    from trackers import load_mot_file

    frames = load_mot_file(written["mot"])
    assert sorted(frames) == [1, 5]
    assert frames[1].ids.tolist() == [3]
    assert frames[1].boxes.tolist() == [[6, 11, 15, 20]]
    assert frames[1].confidences == pytest.approx([0.9], abs=1e-4)


def test_boxes_without_masks(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    video = open_video(write_video(tmp_path / "film.mp4", [0, 0.04]))
    files = {kind: tmp_path / f"film.{kind}" for kind in ("json", "csv", "mot")}
    with TrackTables(files, video, CATEGORIES) as tables:
        tables.add(found(0, masks=False))
    assert all("segmentation" not in entry for entry in read_json(files["json"])["annotations"])
    assert read_json(files["json"])["annotations"][1]["area"] == pytest.approx(295, abs=0.1)


def test_nothing_is_left_after_an_error(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    video = open_video(write_video(tmp_path / "film.mp4", [0, 0.04]))
    before = sorted(tmp_path.iterdir())
    files = {kind: tmp_path / f"film.{kind}" for kind in ("json", "csv", "mot")}

    def work() -> None:
        with TrackTables(files, video, CATEGORIES) as tables:
            tables.add(found(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert sorted(tmp_path.iterdir()) == before


def test_video_in_which_nothing_is_found(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    video = open_video(write_video(tmp_path / "film.mp4", [0, 0.04]))
    files = {kind: tmp_path / f"film.{kind}" for kind in ("json", "csv", "mot")}
    with TrackTables(files, video, CATEGORIES):
        pass
    assert read_json(files["json"])["annotations"] == []
    assert files["csv"].read_text() == ",".join(CSV_COLUMNS) + "\n"
    assert files["mot"].read_text() == ""
