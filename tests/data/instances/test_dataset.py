from __future__ import annotations

import json
import os
import shutil

import pytest

from goodfit.data.instances.dataset import (
    ImageSource,
    VideoSource,
    content_key,
    is_instance_dataset,
    open_instances,
)
from goodfit.errors import DatasetError, SettingsError


def whats(dataset):
    return [problem.what for problem in dataset.problems]


def test_videos_of_images(make_videos):
    dataset = open_instances(make_videos((2, 3)))
    assert not dataset.problems
    assert not dataset.notes
    assert dataset.categories == ("person",)
    assert dataset.has_masks
    assert dataset.grouped
    assert [(frame.name, frame.group, frame.video, frame.number) for frame in dataset.frames] == [
        ("v0_0000", "v0", "v0", 0),
        ("v0_0001", "v0", "v0", 1),
        ("v1_0000", "v1", "v1", 0),
        ("v1_0001", "v1", "v1", 1),
        ("v1_0002", "v1", "v1", 2),
    ]
    assert isinstance(dataset.frames[0].source, ImageSource)
    assert dataset.frames[0].instances[0].box == (4.0, 5.0, 14.0, 13.0)


def test_frames_without_objects_are_kept(tmp_path, kit):
    kit.save_json(
        tmp_path / "annotations.json", kit.coco([kit.image(1, "a.png"), kit.image(2, "b.png")], [kit.thing(1, 1)])
    )
    for name in "ab":
        kit.save_picture(tmp_path / f"{name}.png", kit.picture(0))
    assert [len(frame.instances) for frame in open_instances(tmp_path).frames] == [1, 0]


def test_one_file_by_itself(make_videos):
    root = make_videos()
    dataset = open_instances(root / "annotations.json")
    assert (dataset.root, dataset.name, len(dataset.frames)) == (root, "annotations", 12)
    assert is_instance_dataset(root / "annotations.json")


def test_frames_of_video_files(tmp_path, kit):
    images = [{"id": n, "video_id": 1, "frame_id": n * 2, "width": 64, "height": 48} for n in range(3)]
    images.append({"id": 9, "video_id": 2, "frame_id": 5, "width": 64, "height": 48})
    videos = [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}]
    kit.save_json(tmp_path / "annotations.json", kit.coco(images, [kit.thing(1, 0, track_id="x")], videos=videos))
    for name in ("one.mp4", "two.avi"):
        (tmp_path / "videos").mkdir(exist_ok=True)
        (tmp_path / "videos" / name).touch()
    dataset = open_instances(tmp_path)
    assert not dataset.problems
    assert [frame.name for frame in dataset.frames] == ["one_000000", "one_000002", "one_000004", "two_000005"]
    assert dataset.frames[-1].source == VideoSource(tmp_path / "videos/two.avi", 5)
    assert dataset.frames[0].instances[0].track == 1


def test_the_folders_of_an_export_are_the_given_split(tmp_path, kit):
    for number, folder in enumerate(("train", "valid", "test")):
        listed = [{"id": 0, "name": "things"}, {"id": 1, "name": "person", "supercategory": "things"}]
        kit.save_json(
            tmp_path / folder / "_annotations.coco.json", kit.coco([kit.image(0, "a.png")], [kit.thing(0, 0)], listed)
        )
        kit.save_picture(tmp_path / folder / "a.png", kit.picture(number))
    dataset = open_instances(tmp_path)
    assert not dataset.problems
    assert dataset.given_split == {"train_a": "train", "valid_a": "validation", "test_a": "test"}
    assert dataset.categories == ("person",)
    assert dataset.notes == ("category 'things' is left out: it is the parent of others, and no object is of it",)


def test_files_are_joined_by_image_and_by_category_name(tmp_path, kit):
    kit.save_picture(tmp_path / "images/a.png", kit.picture(0))
    kit.save_picture(tmp_path / "images/b.png", kit.picture(1))
    first = kit.coco(
        [kit.image(1, "images/a.png")], [kit.thing(1, 1, 1), kit.thing(2, 1, 2, (1, 1, 5, 5))], ["cat", "dog"]
    )
    second = kit.coco(
        [kit.image(7, "a.png"), kit.image(1, "b.png")],
        [kit.thing(1, 7, 1, (1, 1, 5, 5)), kit.thing(2, 1, 2), kit.thing(3, 7, 2)],
        ["dog", "bird"],
    )
    kit.save_json(tmp_path / "annotations/x.json", first)
    kit.save_json(tmp_path / "annotations/y.json", second)
    dataset = open_instances(tmp_path)
    assert dataset.categories == ("cat", "dog", "bird")
    assert [[one.category for one in frame.instances] for frame in dataset.frames] == [[1, 2, 3], [3]]
    assert not dataset.grouped
    assert whats(dataset) == [
        "2 category ids that mean different names in different files: 1 is 'dog', in annotations/x.json 'cat', "
        "2 is 'bird', in annotations/x.json 'dog'",
        "objects annotated twice, all alike: images/a.png",
    ]


def test_a_folder_per_video_is_a_group_per_video(tmp_path, kit):
    for name in ("v1", "v2"):
        kit.save_json(
            tmp_path / name / "annotations.json", kit.coco([kit.image(1, "1.png"), kit.image(2, "2.png")], [])
        )
        for frame in ("1", "2"):
            kit.save_picture(tmp_path / name / f"images/{frame}.png", kit.picture(0))
    dataset = open_instances(tmp_path)
    assert list(dataset.groups()) == ["v1", "v2"]
    assert dataset.grouped
    assert "nothing names a video" in dataset.notes[0]
    assert not dataset.given_split


def test_groups_by_expression(tmp_path, kit):
    names = ["p1_1.png", "p1_10.png", "p1_2.png", "p2_1.png"]
    kit.save_json(tmp_path / "annotations.json", kit.coco([kit.image(n, name) for n, name in enumerate(names)], []))
    for name in names:
        kit.save_picture(tmp_path / name, kit.picture(0))
    dataset = open_instances(tmp_path, group_by=r"^(p\d)_")
    assert [frame.name for frame in dataset.groups()["p1"]] == ["p1_1", "p1_2", "p1_10"]
    assert not open_instances(tmp_path).grouped
    with pytest.raises(SettingsError, match="not a regular expression"):
        open_instances(tmp_path, group_by="(")


def test_masks_when_most_objects_have_them(tmp_path, kit):
    kit.save_picture(tmp_path / "a.png", kit.picture(0))
    boxes = [(1 + 5 * n, 1, 4, 4) for n in range(3)]

    def opened(*with_mask):
        things = [kit.thing(n, 1, 1, boxes[n]) | ({} if n in with_mask else {"segmentation": []}) for n in range(3)]
        kit.save_json(tmp_path / "annotations.json", kit.coco([kit.image(1, "a.png")], things))
        return open_instances(tmp_path)

    most = opened(0, 1)
    assert most.has_masks
    assert [one.crowd for one in most.frames[0].instances] == [False, False, True]
    assert whats(most) == ["objects without a mask, while most have one: a.png"]
    few = opened(0)
    assert not few.has_masks
    assert all(one.segmentation is None and not one.crowd for one in few.frames[0].instances)
    assert whats(few) == ["objects with a mask, while most have none: a.png"]
    assert not opened().problems


def test_sizes_that_are_not_given_are_read(tmp_path, kit):
    kit.save_picture(tmp_path / "a.png", kit.picture(0))
    kit.save_json(tmp_path / "annotations.json", kit.coco([{"id": 1, "file_name": "a.png"}], [kit.thing(1, 1)]))
    dataset = open_instances(tmp_path)
    assert (dataset.frames[0].height, dataset.frames[0].width) == kit.size
    assert whats(dataset) == ["images without width and height: a.png"]


def test_names_are_unique_and_stems_of_files(tmp_path, kit):
    names = ["a b/x.png", "a_b/x.png", f"images/{'long' * 50}.png"]
    kit.save_json(tmp_path / "annotations.json", kit.coco([kit.image(n, name) for n, name in enumerate(names)], []))
    for name in names:
        kit.save_picture(tmp_path / name, kit.picture(0))
    found = [frame.name for frame in open_instances(tmp_path).frames]
    assert {"a_b_x", "a_b_x_2"} < set(found)
    assert all(len(name) < 200 and "/" not in name and " " not in name for name in found)


def test_a_set_named_by_a_field_is_not_followed(tmp_path, kit):
    sets = ["train", "val", None]
    images = [kit.image(n, f"{n}.png", official_split=name) for n, name in enumerate(sets)]
    kit.save_json(tmp_path / "annotations.json", kit.coco(images, []))
    for number in range(3):
        kit.save_picture(tmp_path / f"{number}.png", kit.picture(0))
    dataset = open_instances(tmp_path)
    assert dataset.given_split is None
    assert dataset.declared_split == {"0": "train", "1": "validation"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "there is no COCO file"),
        ({"annotations.json": "{"}, "not valid JSON"),
        ({"annotations.json": json.dumps({"images": [], "annotations": [], "categories": []})}, "no categories"),
        (
            {"annotations.json": json.dumps({"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]})},
            "list of images is empty",
        ),
        (
            {"annotations.json": json.dumps({"images": [{"id": 1, "file_name": "a.png", "width": 4, "height": 4}],
                                             "annotations": [], "categories": [{"id": 1, "name": "a"}]})},
            "no frame can be used. Missing image files: a.png",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_is_refused(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match=message):
        open_instances(tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        open_instances(tmp_path / "gone")


def test_other_datasets_are_not_taken_for_instances(tmp_path, make_videos):
    assert is_instance_dataset(make_videos(save=False))
    assert not is_instance_dataset(tmp_path / "gone")
    volumes = tmp_path / "volumes"
    volumes.mkdir()
    assert not is_instance_dataset(volumes)
    (volumes / "annotations.json").touch()
    assert is_instance_dataset(volumes)
    (volumes / "dataset.json").touch()
    assert not is_instance_dataset(volumes)


def test_the_key_follows_objects_and_files_but_not_groups(make_videos):
    root = make_videos((2, 2, 2))
    file = root / "annotations.json"
    key = content_key(open_instances(root))
    assert content_key(open_instances(root)) == key
    content = json.loads(file.read_text())
    for image in content["images"]:
        image["video_id"] = "other"
    file.write_text(json.dumps(content))
    assert content_key(open_instances(root)) == key
    content["annotations"][0]["bbox"][0] += 1
    file.write_text(json.dumps(content))
    changed = content_key(open_instances(root))
    assert changed != key
    os.utime(root / "images/v0_0000.png", ns=(1, 1))
    assert content_key(open_instances(shutil.copytree(root, root.with_name("copy")))) == changed
    shutil.copy(root / "images/v1_0000.png", root / "images/v0_0000.png")
    opened = open_instances(root)
    assert content_key(opened) != changed
    (root / "images/v0_0000.png").unlink()
    with pytest.raises(DatasetError, match=r"v0_0000\.png: cannot be read"):
        content_key(opened)


@pytest.mark.parametrize(
    ("name", "frames", "instances", "groups", "masks"),
    [
        ("dsb2018", 178, 5475, 4, True),
        ("borrat", 230, 232, 30, True),
        ("kidney_stone_boxes", 113, 231, 30, False),
        ("bav_classroom", 48, 1176, 1, False),
        ("davis_mini", 136, 376, 4, True),
    ],
)
def test_real_datasets(shared_data, name, frames, instances, groups, masks):
    dataset = open_instances(shared_data(name))
    assert is_instance_dataset(dataset.root)
    assert not dataset.problems
    assert len(dataset.frames) == frames
    assert sum(len(frame.instances) for frame in dataset.frames) == instances
    assert len(dataset.groups()) == groups
    assert dataset.has_masks == masks
    assert dataset.grouped
