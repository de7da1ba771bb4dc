from __future__ import annotations

import base64
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from goodfit.data.instances.dataset import open_instances
from goodfit.reporting.instances.content import read_instance_content
from goodfit.reporting.instances.mosaics import choose_frames, draw_mosaics, frame_pixels


@pytest.fixture
def content(instance_run):
    return read_instance_content(instance_run)


def tiles(content):
    return [tile for mosaic in draw_mosaics(content).mosaics for tile in mosaic.tiles]


def test_frames_are_chosen_by_quality(content):
    chosen = choose_frames(content.scores)
    assert {rank: len(frames) for rank, frames in chosen.items()} == {"worst": 6, "median": 3, "best": 3}
    names = [frame.name for frames in chosen.values() for frame in frames]
    assert len(names) == len(set(names))
    assert [frame.name for frame in chosen["worst"]] == [frame.name for frame in content.scores.worst[:6]]
    qualities = [frame.quality for frames in chosen.values() for frame in frames]
    assert qualities[:6] == sorted(qualities[:6])
    assert max(qualities[:6]) <= min(qualities[6:9]) <= max(qualities[6:9]) <= min(qualities[9:])


@pytest.mark.parametrize("kept", [0, 1, 4])
def test_few_frames(content, kept):
    few = content.scores.model_copy(update={"per_frame": content.scores.ranked()[:kept]})
    names = [frame.name for frames in choose_frames(few).values() for frame in frames]
    assert len(names) == len(set(names)) == kept


def test_a_dataset_that_lost_its_images_is_told(content, tmp_path):
    shutil.rmtree(tmp_path / "Ward" / "images")
    assert "no frame can be used" in draw_mosaics(content).problem


def test_stored_frames_and_the_dataset_give_the_same_pictures(content, tmp_path):
    stored = tiles(content)
    assert len(stored) == 12
    assert all(tile.source.startswith("data:image/jpeg;base64,") and not tile.problem for tile in stored)
    shutil.rmtree(tmp_path / "frames")
    direct = tiles(content)
    for one, other in zip(stored, direct, strict=True):
        assert (one.name, one.caption, one.width, one.height) == (other.name, other.caption, 480, 360)
        a, b = (
            np.asarray(Image.open(io.BytesIO(base64.b64decode(t.source.split(",")[1])))).astype(int)
            for t in (one, other)
        )
        assert np.abs(a - b).mean() < 6


def test_a_frame_that_cannot_be_read_says_why(content, tmp_path):
    shutil.rmtree(tmp_path / "frames")
    worst = content.scores.worst[0].name
    (tmp_path / "Ward" / "images" / f"{worst}.png").write_bytes(b"no image")
    first, *others = tiles(content)
    assert (first.name, first.source) == (worst, "")
    assert f"{worst}.png" in first.problem
    assert not any(tile.problem for tile in others)


def test_pixels_of_a_video(content, tmp_path):
    av = pytest.importorskip("av")
    shutil.rmtree(tmp_path / "frames")
    root = tmp_path / "Ward"
    annotations = json.loads((root / "annotations.json").read_text())
    with av.open(str(root / "v2.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 120, 90, "yuv420p"
        for at in range(12):
            picture = np.asarray(Image.open(root / "images" / f"v2_{at:03d}.png"))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    for entry in annotations["images"]:
        if entry["video_id"] == "v2":
            (root / entry["file_name"]).unlink()
    (root / "annotations.json").write_text(json.dumps(annotations))
    frame = next(frame for frame in open_instances(root).frames if frame.group == "v2" and frame.number == 3)
    pixels = frame_pixels(frame, None)
    assert pixels.shape == (90, 120, 3)
    assert np.abs(pixels[30, 38].astype(int) - (200, 120, 60)).max() < 40  # the first object of frame 3


def test_what_is_missing_is_told(content, tmp_path):
    nameless = read_instance_content(content.run.path)
    nameless.record.pop("dataset")
    assert "does not name the dataset" in draw_mosaics(nameless).problem
    (content.run.predictions / "test.json").unlink()
    assert "test.json: there is no such file" in draw_mosaics(content).problem
    (content.run.path / "scores.json").unlink()
    nothing = draw_mosaics(read_instance_content(content.run.path))
    assert (nothing.mosaics, nothing.problem) == ([], "")
