from __future__ import annotations

import json

import pytest

from goodfit.errors import DatasetError
from goodfit.tasks.instances.reference import read_reference

POLYGON = [[2, 2, 12, 2, 12, 10, 2, 10]]


def write(path, images, annotations, categories=({"id": 4, "name": "box"},), **more):
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": list(categories), **more}))
    return path


def image(number, **fields):
    return {"id": number, "file_name": f"{number}.jpg", "height": 40, "width": 50, **fields}


def thing(number, image_id, **fields):
    entry = {"id": number, "image_id": image_id, "category_id": 4, "bbox": [2.1, 2.2, 10.3, 8.4], "area": 77.7}
    return {**entry, "iscrowd": 0, "segmentation": POLYGON, **fields}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "reference.json"


def test_numbers_stand_for_ids_and_values_stay_exact(path):
    write(
        path, [image(30), image(7)], [thing(1, 30), thing(2, 7)], ({"id": 9, "name": "ball"}, {"id": 4, "name": "box"})
    )
    reference = read_reference(path)
    assert reference.categories == ("box", "ball")
    assert reference.places == {"7": 0, "30": 1}
    content = reference.content()
    assert [entry["file_name"] for entry in content["images"]] == ["7.jpg", "30.jpg"]
    first = content["annotations"][0]
    assert (first["bbox"], first["area"], first["category_id"], first["image_id"]) == (
        [2.1, 2.2, 10.3, 8.4],
        77.7,
        1,
        1,
    )
    assert content["annotations"][0]["segmentation"]["size"] == [40, 50]
    content["annotations"][0]["bbox"][0] = 99  # what COCO's code does to it stays without consequence
    assert reference.content()["annotations"][0]["bbox"][0] == 2.1


def test_objects_without_masks_are_crowds_where_most_have_them(path):
    write(path, [image(1)], [thing(1, 1), thing(2, 1), thing(3, 1, segmentation=[])])
    reference = read_reference(path)
    assert [one.crowd for one in reference.frames[0].instances] == [False, False, True]
    assert reference.notes == ["1 object without a mask: as crowds, neither found nor missed."]
    write(path, [image(1)], [thing(1, 1), thing(2, 1, segmentation=[])])
    boxes = read_reference(path)
    assert not boxes.has_masks
    assert "segmentation" not in boxes.content()["annotations"][0]


def test_videos_and_groups(path):
    images = [image(1, video_id=3, frame_index=20), image(2, video="b", patient="p"), image(3)]
    write(path, images, [], videos=[{"id": 3, "name": "a"}])
    frames = read_reference(path).frames
    assert [(frame.group, frame.video, frame.number) for frame in frames] == [
        ("a", "a", 20),
        ("p", "b", 1),
        ("3.jpg", "", 2),
    ]


@pytest.mark.parametrize(
    ("images", "categories", "said"),
    [
        ([], ({"id": 4, "name": "box"},), "no images"),
        ([image(1)], (), "no categories"),
        ([{"id": 1, "file_name": "1.jpg"}], ({"id": 4, "name": "box"},), "1.jpg has no height and width"),
    ],
)
def test_what_cannot_be_scored(path, images, categories, said):
    write(path, images, [], categories)
    with pytest.raises(DatasetError, match=said):
        read_reference(path)


def test_a_damaged_mask_is_told(path):
    damaged = {"size": [40, 50], "counts": [5, 5]}
    write(path, [image(1)], [thing(1, 1), thing(2, 1), thing(3, 1, segmentation=damaged)])
    reference = read_reference(path)
    assert any("annotation 3" in note for note in reference.notes)
    assert [one.crowd for one in reference.frames[0].instances] == [False, False, True]
