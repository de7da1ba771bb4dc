from __future__ import annotations

import threading

import numpy as np
import pytest

from goodfit.data.instances.content import read_contents
from goodfit.data.instances.dataset import open_instances
from goodfit.data.instances.findings import Findings
from goodfit.data.instances.hashing import perceptual_hash


def test_every_frame_is_read_once_and_shown_to_the_visitor(make_videos, kit):
    dataset = open_instances(make_videos((20, 7, 3)))
    findings, seen, steps, lock = Findings(), {}, [], threading.Lock()

    def visit(frame, image):
        with lock:
            seen[frame.name] = image

    contents = read_contents(
        dataset, findings, workers=2, on_progress=lambda done, total: steps.append((done, total)), visitor=visit
    )
    assert not findings.problems()
    assert seen.keys() == contents.hashes.keys() == contents.digests.keys() == {frame.name for frame in dataset.frames}
    np.testing.assert_array_equal(seen["v0_0004"], kit.picture(5))
    assert contents.hashes["v0_0004"] == perceptual_hash(kit.picture(5))
    assert steps[-1] == (30, 30)
    assert steps == sorted(steps)


def test_bad_files_are_noted_and_the_others_read(make_videos, kit):
    root = make_videos((5,))
    dataset = open_instances(root)
    folder = root / "images"
    (folder / "v0_0001.png").write_bytes((folder / "v0_0001.png").read_bytes()[:60])
    kit.save_picture(folder / "v0_0002.png", kit.picture(1, (10, 11)))
    (folder / "v0_0003.png").unlink()
    findings, seen = Findings(), []
    contents = read_contents(dataset, findings, workers=1, visitor=lambda frame, image: seen.append(frame.name))
    assert seen == ["v0_0000", "v0_0004"]
    assert sorted(contents.hashes) == ["v0_0000", "v0_0002", "v0_0004"]
    unreadable, size = findings.problems()
    assert unreadable.what.startswith("2 files that cannot be read: images/v0_0001.png (")
    assert size.what.endswith("v0_0002 (file 11 x 10, annotations 32 x 24)")
    assert {unreadable.severity, size.severity} == {"error"}


def test_an_error_of_the_visitor_ends_the_reading(make_videos):
    def visit(frame, image):
        raise KeyError(frame.name)

    with pytest.raises(KeyError):
        read_contents(open_instances(make_videos()), Findings(), workers=1, visitor=visit)


@pytest.fixture
def video_set(tmp_path, kit):
    def make(numbers, frames=8, cut=None):
        path = kit.write_video(tmp_path / "videos/clip.mp4", frames)
        if cut is not None:
            path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
        images = [{"id": n, "video": "clip", "frame": n, "width": 64, "height": 48} for n in numbers]
        kit.save_json(tmp_path / "annotations.json", kit.coco(images, [kit.thing(1, numbers[0])]))
        return open_instances(tmp_path)

    return make


def test_frames_of_videos_are_decoded(video_set, kit):
    findings = Findings()
    contents = read_contents(video_set([1, 4, 7]), findings, workers=1)
    assert not findings.problems()
    assert list(contents.hashes) == ["clip_000001", "clip_000004", "clip_000007"]
    for number in (1, 4, 7):
        wanted = perceptual_hash(kit.picture(number, (48, 64)))
        distances = [(value ^ wanted).bit_count() for value in contents.hashes.values()]
        assert int(np.argmin(distances)) == (1, 4, 7).index(number)


def test_frames_beyond_the_end_are_noted(video_set):
    findings = Findings()
    contents = read_contents(video_set([7, 8]), findings, workers=1)
    assert list(contents.hashes) == ["clip_000007"]
    (problem,) = findings.problems()
    assert (problem.file, problem.case) == ("videos/clip.mp4", "clip_000008")
    assert "beyond the end of the video: frame 8 of 8 (0 to 7)" in problem.what


def test_truncated_videos_are_noted(video_set):
    findings = Findings()
    read_contents(video_set([0, 7], cut=0.5), findings, workers=1)
    (problem,) = findings.problems()
    assert problem.severity == "error"
    assert problem.what.startswith("files that cannot be read: ")
    assert problem.file == "videos/clip.mp4"
