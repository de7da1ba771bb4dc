from __future__ import annotations

import pytest

from goodfit.data.instances.coco import read_coco
from goodfit.data.instances.findings import Findings
from goodfit.data.instances.locate import AnnotationFile
from goodfit.errors import DatasetError


@pytest.fixture
def read(tmp_path, kit):
    def run(content):
        findings = Findings()
        path = kit.save_json(tmp_path / "annotations.json", content)
        return read_coco(AnnotationFile(path, tmp_path), "annotations.json", findings), findings.problems()

    return run


def test_objects_are_with_their_images_whatever_the_type_of_the_id(read, kit):
    file, problems = read(kit.coco([kit.image(1, "a.png"), kit.image(2)], [kit.thing(1, "1"), kit.thing(2, 1)]))
    assert not problems
    assert [len(image.annotations) for image in file.images] == [2, 0]
    assert [image.label for image in file.images] == ["a.png", "image id 2"]


def test_categories_in_the_order_of_their_numbers(read, kit):
    listed = [{"id": 10, "name": "b"}, {"id": 9, "name": "a", "supercategory": "top"}]
    file, problems = read(kit.coco([], [], listed))
    assert not problems
    assert file.categories == {"9": "a", "10": "b"}
    assert file.parents == {"top"}


def test_every_defect_of_the_lists_is_named(read, kit):
    content = kit.coco(
        [kit.image(1, "a.png"), kit.image(1, "a.png"), kit.image(1, "b.png"), {"file_name": "c.png"}, 7],
        [kit.thing(1, 1), kit.thing(1, 1), kit.thing(2, 99)],
        [{"id": 1, "name": "x"}, {"id": 1, "name": "y"}, {"id": 2, "name": "x"}, {"id": 3}, {"name": "z"}],
    )
    _, problems = read(content)
    told = {problem.what: problem.severity for problem in problems}
    assert told == {
        "3 entries that are not as COCO has them: images holds something else than objects, "
        "image without id (c.png), category without id (z)": "error",
        "image ids given twice: id 1 (b.png)": "error",
        "images listed twice: id 1 (a.png)": "warning",
        "annotation ids given twice: id 1": "warning",
        "objects of images that are not listed: image_id 99": "error",
        "category ids that stand for two names: id 1 is 'x' and 'y'": "error",
        "category names given to several ids: 'x' as id 2": "warning",
        "categories without a name: id 3": "warning",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], 'no list "images"'),
        ({"images": []}, 'no list "annotations". Without objects'),
        ({"images": [], "annotations": []}, 'no list "categories"'),
        ({"videos": [], "annotations": [], "categories": []}, "List each annotated frame"),
    ],
)
def test_other_files_are_refused_with_a_reason(read, content, message):
    with pytest.raises(DatasetError, match=message):
        read(content)


def test_the_place_of_a_file_tells_it_from_others(tmp_path, kit):
    def place(shown):
        path = kit.save_json(tmp_path / shown, kit.coco([], []))
        return read_coco(AnnotationFile(path, path.parent), shown, Findings()).place

    assert place("video1/annotations.json") == "video1"
    assert place("video2/annotations/instances_default.json") == "video2"
    assert place("annotations/clip3.json") == "clip3"
    assert place("annotations.json") == "annotations"
