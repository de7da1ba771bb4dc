from __future__ import annotations

import csv
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import goodfit
from goodfit.commands.instances.detector import NOVELTY
from goodfit.data.instances.pictures import read_picture
from goodfit.data.video.write import VideoWriter
from goodfit.errors import DatasetError, RunError, SettingsError
from goodfit.files import read_json
from goodfit.phantoms.rooms import write_rooms
from goodfit.phantoms.rooms.dataset import make_video
from goodfit.tasks.instances.scores import load_instance_scores

if TYPE_CHECKING:
    from pathlib import Path

    from goodfit.commands.fitting import TrainResult


@pytest.fixture
def images(frames: Path, tmp_path: Path) -> Path:
    """Two images like those of the training, and one like none of them."""
    folder = tmp_path / "images"
    folder.mkdir()
    for file in sorted((frames / "images").glob("*.png"))[:2]:
        shutil.copy(file, folder / file.name)
    foreign = np.full((64, 80, 3), 255, np.uint8)
    foreign[::4] = (0, 255, 0)
    Image.fromarray(foreign).save(folder / "x.png")
    return folder


@pytest.fixture
def video(images: Path, tmp_path: Path) -> Path:
    """The first image for 20 frames, with five of the foreign one in between."""
    known, foreign = (read_picture(images / name) for name in ("v0_000.png", "x.png"))
    with VideoWriter(tmp_path / "film.mp4", 80, 64, fps=10) as writer:
        for place in range(25):
            writer.add(foreign if 10 <= place < 15 else known)
    return tmp_path / "film.mp4"


def test_video_gives_overlay_tables_page_and_time_ranges(
    finished: TrainResult, video: Path, tmp_path: Path, listener: Any
) -> None:
    output = tmp_path / "out" / "film.mp4"
    written = goodfit.predict(finished.run.path, video, output, flag_unusual=True, observer=listener)
    assert written[0] == output
    names = ["film.frames.csv", "film.html", "film.mot.txt", "film.mp4", "film.tracks.csv", "film.tracks.json"]
    assert sorted(file.name for file in output.parent.iterdir()) == sorted([*names, "film.unusual.json"])
    assert {file.name for file in written} == {file.name for file in output.parent.iterdir()}
    content = read_json(written[-1])
    (found,) = content["ranges"]
    assert (found["first_frame"], found["last_frame"], found["frames"]) == (10, 14, 5)
    assert (found["start"], found["end"]) == pytest.approx((1.0, 1.5), abs=0.01)
    with (output.parent / "film.frames.csv").open(newline="") as stream:
        assert [int(row["unusual"]) for row in csv.DictReader(stream)] == [int(10 <= place < 15) for place in range(25)]
    assert "5 of them unlike the training frames" in (output.parent / "film.html").read_text()
    assert any("5 unusual (further than" in note for note in listener.notes)


def test_without_the_flag_no_list_is_written(finished: TrainResult, video: Path, tmp_path: Path) -> None:
    written = goodfit.predict(finished.run.path, video, tmp_path / "out.mp4", stride=5)
    assert not any("unusual" in file.name for file in written)
    with (tmp_path / "out.frames.csv").open(newline="") as stream:
        assert [int(row["frame"]) for row in csv.DictReader(stream)] == [0, 5, 10, 15, 20]


def test_folder_of_images(finished: TrainResult, images: Path, tmp_path: Path) -> None:
    written = goodfit.predict(finished.run.path, images, tmp_path / "out", flag_unusual=True)
    assert [file.name for file in written] == ["predictions.json", "frames.csv", "report.html", "unusual.json"]
    assert [one["file_name"] for one in read_json(written[-1])["images"]] == ["x.png"]
    assert "1 of them unlike the training frames" in written[2].read_text()
    distances = {one["file_name"]: one["distance"] for one in read_json(written[0])["images"]}
    assert distances["x.png"] > 2 * max(distances["v0_000.png"], distances["v0_001.png"])


def test_a_run_that_does_not_know_what_is_unusual_says_so(
    finished: TrainResult, images: Path, tmp_path: Path, listener: Any
) -> None:
    run = shutil.copytree(finished.run.path, tmp_path / "copy")
    (run / NOVELTY).unlink()
    with pytest.raises(RunError, match=r"nothing is known of what is unusual: .* is missing"):
        goodfit.predict(run, images, tmp_path / "out", flag_unusual=True)
    assert not (tmp_path / "out").exists()
    written = goodfit.predict(run, images, tmp_path / "out", observer=listener)
    assert "distance" not in read_json(written[0])["images"][0]
    assert "were not measured" in written[2].read_text()
    assert any(note.startswith("distances from the training frames are not measured") for note in listener.notes)


def test_senseless_requests_are_refused(finished: TrainResult, images: Path, video: Path, tmp_path: Path) -> None:
    run = finished.run.path
    with pytest.raises(SettingsError, match="from 0 to 1"):
        goodfit.predict(run, images, tmp_path / "out", score=1.5)
    with pytest.raises(SettingsError, match="give a video to write"):
        goodfit.predict(run, video, tmp_path / "out")
    with pytest.raises(SettingsError, match="tracker 'sort' is unknown"):
        goodfit.predict(run, video, tmp_path / "out.mp4", tracker="sort")
    for options in ({"stride": 2}, {"tracker": "ocsort"}):
        with pytest.raises(SettingsError, match="only for a video"):
            goodfit.predict(run, images, tmp_path / "out", **options)
    with pytest.raises(DatasetError, match="no such file or folder"):
        goodfit.predict(run, tmp_path / "none", tmp_path / "out")


def test_test_frames_have_distances_too(finished: TrainResult) -> None:
    scores = load_instance_scores(finished.run.scores)
    assert scores.unusual_from > 0
    assert all(frame.distance > 0 for frame in scores.per_frame)
    assert 'id="plot-distance"' in finished.run.report.read_text()
    with finished.run.scores.with_suffix(".csv").open(newline="") as stream:
        assert all(float(row["distance"]) > 0 for row in csv.DictReader(stream))


@pytest.mark.slow
def test_a_trained_detector_finds_frames_that_were_cut_into_a_rooms_video(
    tmp_path: Path, quick: dict[str, Any]
) -> None:
    """Some seconds of training on eight rooms; into the video of another one, frames of three other kinds are cut."""
    rooms = write_rooms(tmp_path / "rooms", videos=8, frames=16, seed=3)
    wishes = {**quick, "model.image_min_size": 96, "model.image_max_size": 128, "training.learning_rate": 1e-3}
    run = goodfit.train(rooms, run=tmp_path / "run", settings={**wishes, "budget.steps_per_epoch": 20}).run
    random = np.random.default_rng(0)
    room = [picture.image for picture in make_video(5, 2, 60)]
    night = [(picture // 12).astype(np.uint8) for picture in room[:8]]
    noise = [random.integers(0, 255, (192, 256, 3), dtype=np.uint8) for _ in range(8)]
    hall = np.zeros((192, 256, 3), np.uint8)
    hall[:, ::16] = (0, 90, 255)
    cut = [*room[:16], *night, *room[16:32], *noise, *room[32:48], *([hall] * 8), *room[48:]]
    with VideoWriter(tmp_path / "cut.mp4", 256, 192, fps=8) as writer:
        for image in cut:
            writer.add(image)
    written = goodfit.predict(run.path, tmp_path / "cut.mp4", tmp_path / "out.mp4", flag_unusual=True)
    content = read_json(written[-1])
    found = [one for one in content["ranges"] if one["frames"] > 1]
    assert [(one["start"], one["end"]) for one in found] == [(2.0, 3.0), (5.0, 6.0), (8.0, 9.0)]
    assert content["unusual"] <= 24 + 2, "hardly a frame of the room itself"
