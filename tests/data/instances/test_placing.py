from __future__ import annotations

import re

import pytest

from goodfit.data.instances.coco import RawFile, RawImage
from goodfit.data.instances.findings import Findings
from goodfit.data.instances.folder import Folder
from goodfit.data.instances.locate import AnnotationFile
from goodfit.data.instances.model import ImageSource, VideoSource
from goodfit.data.instances.placing import Placer


@pytest.fixture
def place(tmp_path):
    """Place one entry among files of the given names; give the place and the problems."""

    def run(fields, files=(), videos=(), group_by=None, qualify=False):
        for name in files:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        findings = Findings()
        expression = re.compile(group_by) if group_by else None
        placer = Placer(Folder(tmp_path), expression, qualify, findings)
        listed = {str(entry["id"]): entry for entry in videos}
        path = tmp_path / "annotations.json"
        file = RawFile(AnnotationFile(path, tmp_path), "annotations.json", [], {}, frozenset(), listed)
        image = RawImage("1", fields.get("file_name", ""), fields)
        return placer.place(file, image), [problem.what for problem in findings.problems()]

    return run


def test_an_image_that_exists_wins_over_the_video(place, tmp_path):
    fields = {"file_name": "a_0007.png", "video": "clip", "frame": 7}
    found, problems = place(fields, ["images/a_0007.png", "videos/clip.mp4"])
    assert not problems
    assert found.source == ImageSource(tmp_path / "images/a_0007.png")
    assert (found.group, found.video, found.number) == ("clip", "clip", 7)


@pytest.mark.parametrize("field", ["frame", "frame_id", "frame_index", "frame_number"])
@pytest.mark.parametrize("video", [{"video": "clip"}, {"video": "videos/clip.mp4"}, {"video_id": 3}])
def test_frames_of_videos_by_field(place, tmp_path, field, video):
    listed = [{"id": 3, "name": "clip", "file_name": "videos/clip.mp4"}]
    found, problems = place({"file_name": "gone.png", field: 12, **video}, ["videos/clip.mp4"], listed)
    assert not problems
    assert found.source == VideoSource(tmp_path / "videos/clip.mp4", 12)
    assert (found.number, found.video) == (12, "clip")


@pytest.mark.parametrize("name", ["clip_000012.png", "clip/frame_12.png", "x/clip/12.jpg", "clip-frame12.png"])
def test_frames_of_videos_by_name(place, tmp_path, name):
    found, problems = place({"file_name": name}, ["clip.avi", "other.avi"])
    assert not problems
    assert found.source == VideoSource(tmp_path / "clip.avi", 12)
    assert (found.group, found.number) == ("clip", 12)


def test_the_only_video_is_meant_by_bare_numbers(place, tmp_path):
    found, problems = place({"file_name": "frame_000012.PNG"}, ["deep/clip.mkv"])
    assert not problems
    assert found.source == VideoSource(tmp_path / "deep/clip.mkv", 12)


def test_a_video_as_file_name(place, tmp_path):
    found, problems = place({"file_name": "clip.mov", "frame": 3}, ["clip.mov"])
    assert not problems
    assert found.source == VideoSource(tmp_path / "clip.mov", 3)


@pytest.mark.parametrize(
    ("expression", "group", "number"),
    [
        (r"^p\d+", "p12", None),
        (r"^(p\d+)_", "p12", None),
        (r"^(p\d+)_s\d_(\d+)", "p12", 45),
        (r"_(?P<frame>\d+)\.png", "_0045.png", 45),
        (r"^(?P<group>p\d+)_s\d_(?P<frame>\d+)", "p12", 45),
    ],
)
def test_groups_and_numbers_by_expression(place, expression, group, number):
    found, problems = place({"file_name": "p12_s3_0045.png", "group": "other"}, ["p12_s3_0045.png"], (), expression)
    assert not problems
    assert (found.group, found.video, found.number) == (group, group, number)


def test_an_expression_names_the_video_to_decode(place, tmp_path):
    found, problems = place({"file_name": "scan(clip)at(12).png"}, ["clip.mp4", "b.mp4"], (), r"\((.*?)\)at\((\d+)\)")
    assert not problems
    assert found.source == VideoSource(tmp_path / "clip.mp4", 12)


def test_a_group_of_an_expression_may_hold_several_videos(place):
    found = [place({"file_name": f"p1_s{n}_{n:03d}.jpg"}, [f"p1_s{n}.mp4"], (), r"^(p\d+)_")[0] for n in (1, 2)]
    assert [(one.group, one.video, one.number) for one in found] == [("p1", "p1_s1", 1), ("p1", "p1_s2", 2)]


def test_a_patient_is_a_coarser_group_than_a_video(place):
    found, _ = place({"file_name": "a.png", "video_id": "v1", "patient": 4, "timestamp": 1.5}, ["a.png"])
    assert (found.group, found.video, found.time) == ("4", "v1", 1.5)


def test_bare_numbers_of_several_files_are_told_apart(place):
    assert place({"file_name": "a.png", "video_id": 1}, ["a.png"])[0].video == "1"
    assert place({"file_name": "a.png", "video_id": 1}, ["a.png"], (), None, True)[0].video == "annotations_1"


@pytest.mark.parametrize(
    ("fields", "files", "message"),
    [
        ({"file_name": "a.png"}, [], "missing image files: a.png"),
        ({"file_name": "a.png"}, ["x/a.png", "y/a.png"], "file names that fit several files: a.png fits"),
        ({"video": "clip", "frame": 1}, [], "frames of missing videos: clip"),
        ({"video": "clip"}, ["clip.mp4"], "images of a video without a frame number: image id 1"),
        ({"file_name": "a.png", "frame": 1.5}, ["a.png"], "frame numbers that are not whole numbers: 1.5 of a.png"),
        ({"file_name": "a.png", "frame": -1}, ["a.png"], "frame numbers that are not whole numbers: -1 of a.png"),
    ],
)
def test_what_cannot_be_placed_is_named(place, fields, files, message):
    _, problems = place(fields, files)
    assert len(problems) == 1
    assert problems[0].startswith(message)


def test_an_expression_that_does_not_fit_is_named(place):
    found, problems = place({"file_name": "a.png"}, ["a.png"], (), "^p")
    assert problems == ["file names that --group-by does not match: a.png"]
    assert found.group is None
