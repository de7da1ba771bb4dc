from __future__ import annotations

import pytest

from goodfit.data.instances.dataset import open_instances


@pytest.fixture
def opened(tmp_path, kit):
    def run(images, **more):
        for entry in images:
            kit.save_picture(tmp_path / entry["file_name"], kit.picture(0))
        kit.save_json(tmp_path / "annotations.json", kit.coco(images, []))
        return open_instances(tmp_path, **more)

    return run


def test_a_video_of_two_patients_joins_them(opened, kit):
    images = [
        kit.image(1, "1.png", video="v", patient="p1"),
        kit.image(2, "2.png", video="v", patient="p2"),
        kit.image(3, "3.png", video="w", patient="p2"),
        kit.image(4, "4.png", video="x", patient="p3"),
    ]
    dataset = opened(images)
    assert {frame.name: frame.group for frame in dataset.frames} == {
        "1": "p1 + p2",
        "2": "p1 + p2",
        "3": "p1 + p2",
        "4": "p3",
    }
    assert [problem.what for problem in dataset.problems] == ["videos that are in two groups: v in p1, p2"]


def test_images_without_a_group_are_told(opened, kit):
    dataset = opened([kit.image(1, "1.png", group="g"), kit.image(2, "2.png")])
    assert dataset.frame("2").group == "2"
    assert [problem.what for problem in dataset.problems] == ["images without a group, while others have one: 2.png"]


def test_numbers_follow_the_natural_order_of_names_where_none_are_given(opened, kit):
    dataset = opened([kit.image(n, f"f{n}.png", video="v") for n in (10, 9, 100)])
    assert [(frame.name, frame.number) for frame in dataset.frames] == [("f9", 0), ("f10", 1), ("f100", 2)]


def test_names_numbered_like_frames_are_told_until_they_are_grouped(opened, kit):
    images = [kit.image(10 * v + n, f"v{v}_{n:03d}.png") for v in range(2) for n in range(6)]
    (problem,) = opened(images).problems
    assert problem.severity == "warning"
    assert problem.what == "image names numbered like frames of videos: v0_*, v1_*"
    assert not opened(images, group_by=r"^v\d").problems


def test_names_that_only_end_in_numbers_are_no_videos(opened, kit):
    assert not opened([kit.image(n, f"img_{n:03d}.png") for n in range(8)]).problems
