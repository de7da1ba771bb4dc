from __future__ import annotations

import json

import pytest

from goodfit.data.instances.checks import InstanceCheck, check_instances, check_key, check_opened
from goodfit.data.instances.dataset import open_instances
from goodfit.errors import SettingsError


def whats(result):
    return [problem.what for problem in result.problems]


def test_a_sound_dataset_has_no_problems(make_videos):
    steps = []
    result = check_instances(make_videos(), workers=2, on_progress=lambda done, total: steps.append((done, total)))
    assert result.ok
    assert not result.problems
    assert result.frames_checked == 12
    assert len(result.hashes) == 12
    assert steps[-1] == (12, 12)


def test_all_problems_are_in_one_table(tmp_path, kit):
    bow_tie = [[4, 5, 14, 13, 14, 5, 4, 13]]
    images = [kit.image(n, f"images/{n}.png", group=f"g{n}") for n in range(1, 8)]
    things = [
        kit.thing(1, 1),
        kit.thing(2, 2, segmentation=bow_tie),
        kit.thing(3, 3, 1, (4, 5, 40, 8)),
        kit.thing(4, 3, 1, (-1, 5, 10, 8)),
        kit.thing(5, 4, 1, (4, 5, 0, 8), segmentation=[]),
        kit.thing(6, 5, segmentation={"size": [32, 24], "counts": [700, 68]}),
        kit.thing(7, 5, 8),
        kit.thing(7, 6, segmentation=[[4, 5, 14, 5]]),
        kit.thing(9, 77),
    ]
    kit.save_json(tmp_path / "annotations.json", kit.coco(images, things, ["person", "cot"]))
    for number in (1, 2, 3, 4, 5):
        kit.save_picture(tmp_path / f"images/{number}.png", kit.picture(min(number, 4)))
    (tmp_path / "images/6.png").write_text("no image")
    result = check_instances(tmp_path)
    assert not result.ok
    assert result.frames_checked == 5
    assert result.identical == [["4", "5"]]
    severities = {problem.what.split(":")[0]: problem.severity for problem in result.problems}
    assert severities == {
        "objects of images that are not listed": "error",
        "missing image files": "error",
        "objects of an unknown category": "error",
        "run-length codes of another size than the image": "error",
        "files that cannot be read": "error",
        "annotation ids given twice": "warning",
        "polygons without an area": "warning",
        "2 polygons that reach beyond the image": "warning",
        "2 boxes that reach beyond the image": "warning",
        "boxes without width or height": "warning",
        "areas that are not those of the mask": "warning",
        "2 objects without a mask, while most have one": "warning",
        "polygons that cross or touch themselves": "warning",
        "categories without any object": "warning",
        "images that occur under two names": "warning",
    }


def test_nothing_but_a_wrong_option_raises(tmp_path):
    (result,) = check_instances(tmp_path).problems
    assert result.severity == "error"
    assert "there is no COCO file" in result.what
    (tmp_path / "annotations.json").write_text("[1, 2")
    assert "not valid JSON" in check_instances(tmp_path).problems[0].what
    with pytest.raises(SettingsError):
        check_instances(tmp_path, group_by="(")


def test_a_broken_file_among_others_is_one_of_the_problems(tmp_path, kit):
    kit.save_picture(tmp_path / "a.png", kit.picture(0))
    kit.save_json(tmp_path / "annotations/a.json", kit.coco([kit.image(1, "a.png")], [kit.thing(1, 1)]))
    (tmp_path / "annotations/b_coco.json").write_text("{")
    result = check_instances(tmp_path)
    assert result.frames_checked == 1
    assert result.errors[0].file == "annotations/b_coco.json"
    assert result.errors[0].what.startswith("annotation file that cannot be used: ")


def test_few_groups_are_told(make_videos):
    result = check_instances(make_videos((6, 6)))
    assert result.ok
    assert whats(result) == ["fewer groups than sets: 12 frames of v0, v1"]


def test_rare_categories_are_told(make_videos):
    root = make_videos((2, 2, 2, 2))
    content = json.loads((root / "annotations.json").read_text())
    content["categories"] += [{"id": 2, "name": "cot"}, {"id": 3, "name": "chair"}]
    content["annotations"][0]["category_id"] = 2
    (root / "annotations.json").write_text(json.dumps(content))
    assert whats(check_instances(root)) == [
        "categories in fewer groups than sets: 'cot' in 1 group",
        "categories without any object: 'chair'",
    ]


@pytest.fixture
def export(tmp_path, kit):
    """A set with train/, valid/ and test/ that divides one video frame by frame, as many exports do."""

    def make(alike=False, same=False):
        sets = {"train": (0, 3, 6, 9), "valid": (1, 4, 7), "test": (2, 5, 8)}
        for name, numbers in sets.items():
            images = [kit.image(n, f"{n}.png", video="v", frame=n) for n in numbers]
            things = [kit.thing(n, n) for n in numbers]
            kit.save_json(tmp_path / name / "_annotations.coco.json", kit.coco(images, things))
            for n in numbers:
                array = kit.picture(n if not alike else n // 3)
                kit.save_picture(tmp_path / name / f"{n}.png", array if same or not alike else array // 2 + n)
        return tmp_path

    return make


def test_a_split_that_came_with_the_data_is_judged(export):
    result = check_instances(export())
    assert result.ok
    assert result.neighbours == {"validation": 1.0, "test": 1.0}
    assert len(result.problems) == 1
    assert "validation, 100 % of its frames within 30 frames of one in training" in result.problems[0].what


def test_look_alikes_across_given_sets_are_leakage(export):
    result = check_instances(export(alike=True))
    assert any(what.startswith("6 frames that look like one in training: ") for what in whats(result))
    assert not result.identical


def test_identical_images_across_given_sets_are_leakage(export):
    result = check_instances(export(alike=True, same=True))
    assert any(what.startswith("6 images that are in training and in another set: ") for what in whats(result))
    assert len(result.identical) == 3


def test_look_alikes_in_two_groups_are_told(tmp_path, kit):
    images = [kit.image(n, f"{n}.png", group=f"g{n // 2}") for n in range(6)]
    kit.save_json(tmp_path / "annotations.json", kit.coco(images, [kit.thing(n, n) for n in range(6)]))
    for number in range(6):
        array = kit.picture(number)
        kit.save_picture(tmp_path / f"{number}.png", kit.picture(1) // 2 if number == 4 else array)
    assert whats(check_instances(tmp_path)) == ["frames that look like one of another group: 1 and 4"]


def test_results_survive_json_and_the_key_follows_groups(make_videos):
    root = make_videos()
    dataset = open_instances(root)
    result = check_opened(dataset, workers=1)
    assert InstanceCheck.from_dict(json.loads(json.dumps(result.to_dict()))) == result
    assert check_key(open_instances(root, group_by=r"v\d_000[01]")) != check_key(dataset)


@pytest.mark.parametrize(
    ("name", "frames", "expected"),
    [
        ("dsb2018", 178, []),
        ("borrat", 230, ["frames that look like one of another group"]),
        ("kidney_stone_boxes", 113, ["2 sets with neighbours of training frames"]),
        ("bav_classroom", 48, ["fewer groups than sets", "2 sets with neighbours of training frames"]),
        ("davis_mini", 136, ["4 categories in fewer groups than sets"]),
    ],
)
def test_real_datasets(shared_data, name, frames, expected):
    result = check_instances(shared_data(name), workers=1)
    assert result.ok
    assert result.frames_checked == frames
    assert [what.split(":")[0] for what in whats(result)] == expected
