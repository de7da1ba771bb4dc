from __future__ import annotations

import pytest

from goodfit.data.instances.folder import AmbiguousNameError, Folder, is_video_name


@pytest.fixture
def root(tmp_path):
    for name in (
        "images/a.png",
        "train2017/x.jpg",
        "val2017/x.jpg",
        "v1/f.png",
        "videos/Clip.MP4",
        "other/b.JPG",
        ".x/c.png",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_names_relative_to_base_and_root(root):
    folder = Folder(root)
    assert folder.image("images/a.png", root / "annotations") == root / "images/a.png"
    assert folder.image("a.png", root) == root / "images/a.png"
    assert folder.image("f.png", root / "v1") == root / "v1/f.png"


def test_names_of_elsewhere_are_found_by_their_end(root):
    folder = Folder(root)
    for name in ("/home/me/set/other/b.jpg", "C:\\set\\b.jpg", "../../b.jpg", "b.jpg", "set/other/b.jpg"):
        assert folder.image(name, root) == root / "other/b.JPG"


def test_a_frame_of_a_missing_video_is_not_taken_from_another(root):
    assert Folder(root).image("v2/f.png", root) is None
    assert Folder(root).image("c.png", root) is None
    assert Folder(root).image("", root) is None


def test_files_of_one_name_are_told_apart_by_the_hint_or_refused(root):
    folder = Folder(root)
    assert folder.image("x.jpg", root, "instances_val2017") == root / "val2017/x.jpg"
    assert folder.image("/set/train2017/x.jpg", root) == root / "train2017/x.jpg"
    with pytest.raises(AmbiguousNameError, match=r"x\.jpg fits"):
        folder.image("x.jpg", root)


def test_videos_by_name_stem_and_path(root):
    folder = Folder(root)
    clip = root / "videos/Clip.MP4"
    for name in ("clip", "clip.mp4", "videos/clip", "videos/Clip.MP4", "/data/clip.mp4"):
        assert folder.video(name) == clip
    assert folder.video("clop") is None
    assert folder.video("") is None
    assert folder.videos() == [clip]
    assert is_video_name("a.MOV")
    assert not is_video_name("a.png")


def test_links_in_a_circle_end(root):
    (root / "images" / "again").symlink_to(root)
    assert Folder(root).image("/x/a.png", root / "v1") == root / "images/a.png"
