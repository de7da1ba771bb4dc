from __future__ import annotations

import pytest

from goodfit.data.instances.dataset import open_instances


@pytest.fixture
def read(tmp_path, kit):
    """Open a dataset of the given files; give the problems too."""

    def run(*contents, pictures=("a.png", "b.png")):
        for number, name in enumerate(pictures):
            kit.save_picture(tmp_path / "images" / name, kit.picture(number))
        for number, content in enumerate(contents):
            kit.save_json(tmp_path / f"annotations/part{number}.json", content)
        dataset = open_instances(tmp_path)
        return dataset, [problem.what for problem in dataset.problems]

    return run


def test_an_image_listed_twice_gets_the_objects_of_both(read, kit):
    images = [kit.image(1, "a.png"), kit.image(2, "images/a.png")]
    dataset, whats = read(kit.coco(images, [kit.thing(1, 1), kit.thing(2, 2, 1, (1, 1, 4, 4))]))
    assert whats == ["images listed twice: images/a.png"]
    assert len(dataset.frames) == 1
    assert len(dataset.frames[0].instances) == 2


def test_files_that_contradict_each_other_on_sizes(read, kit):
    first, second = kit.image(1, "a.png"), kit.image(1, "a.png", width=99)
    _, whats = read(kit.coco([first], []), kit.coco([second], []))
    assert whats == ["images listed twice with different sizes: a.png (32 x 24 and 99 x 24)"]


def test_an_image_in_two_sets_is_an_error(tmp_path, kit):
    kit.save_picture(tmp_path / "images/a.png", kit.picture(0))
    for name in ("train", "val"):
        kit.save_json(tmp_path / f"annotations/instances_{name}.json", kit.coco([kit.image(1, "a.png")], []))
    dataset = open_instances(tmp_path)
    assert [problem.what for problem in dataset.problems] == ["images listed in two sets: a.png"]


def test_unknown_categories_are_named_once(read, kit):
    things = [kit.thing(1, 1), *(kit.thing(number, 1, 9) for number in (2, 3))]
    dataset, whats = read(kit.coco([kit.image(1, "a.png")], things))
    assert whats == ["2 objects of an unknown category: category_id 9"]
    assert len(dataset.frames[0].instances) == 1


def test_boxes_as_shares_of_the_image(read, kit):
    things = [kit.thing(n, 1, 1, (0.1 * n, 0.2, 0.3, 0.2)) for n in range(4)]
    _, whats = read(kit.coco([kit.image(1, "a.png")], things))
    assert whats == ["files whose boxes are all smaller than a pixel: 4 boxes within 0 to 1"]


@pytest.mark.parametrize(
    ("fields", "track"),
    [
        ({"track_id": 5}, 5),
        ({"track_id": "7"}, 7),
        ({"track_id": "nurse"}, 1),
        ({"attributes": {"track_id": 3}}, 3),
        ({"attributes": []}, None),
        ({"track_id": True}, None),
    ],
)
def test_tracks(read, kit, fields, track):
    dataset, _ = read(kit.coco([kit.image(1, "a.png")], [kit.thing(1, 1, **fields)]))
    assert dataset.frames[0].instances[0].track == track


def test_a_size_that_cannot_be_read_is_an_error(read, kit, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/c.png").write_text("no image")
    dataset, whats = read(kit.coco([kit.image(1, "a.png"), {"id": 2, "file_name": "c.png"}], []))
    assert len(dataset.frames) == 1
    assert whats[0].startswith("files that cannot be read: ")
    assert "c.png: no image" in whats[0]
