from __future__ import annotations

import json

import pytest

from goodfit.data.instances.locate import annotation_files, is_coco_file

COCO = json.dumps({"images": [], "annotations": [], "categories": []})


def place(root, *names, content=COCO):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def found(root):
    return {file.path.relative_to(root).as_posix(): file.given_set for file in annotation_files(root)}


def test_one_file_beside_the_images(tmp_path):
    place(tmp_path, "annotations.json")
    place(tmp_path, "images/x/annotations.json", "splits.json", "groups.json")
    assert found(tmp_path) == {"annotations.json": None}
    assert annotation_files(tmp_path / "annotations.json")[0].base == tmp_path


def test_cocos_own_folder_takes_only_the_instances(tmp_path):
    place(
        tmp_path,
        *(f"annotations/{kind}_{name}2017.json" for kind in ("instances", "captions") for name in ("train", "val")),
    )
    assert found(tmp_path) == {
        "annotations/instances_train2017.json": "train",
        "annotations/instances_val2017.json": "validation",
    }
    assert annotation_files(tmp_path)[0].base == tmp_path


def test_the_folders_of_an_export(tmp_path):
    place(tmp_path, *(f"{name}/_annotations.coco.json" for name in ("train", "valid", "test")))
    assert list(found(tmp_path).values()) == ["test", "train", "validation"]
    assert {file.base.name for file in annotation_files(tmp_path)} == {"train", "valid", "test"}


def test_a_folder_for_each_video(tmp_path):
    place(tmp_path, "video1/annotations.json", "video2/annotations/instances_default.json")
    assert found(tmp_path) == {"video1/annotations.json": None, "video2/annotations/instances_default.json": None}


def test_other_names_count_by_their_content(tmp_path):
    place(tmp_path, "mine.json")
    place(tmp_path, "settings.json", content="{}")
    assert found(tmp_path) == {"mine.json": None}


@pytest.mark.parametrize("name", ["dataset.json", ".annotations.json"])
def test_what_is_no_coco_file(tmp_path, name):
    place(tmp_path, name)
    assert not is_coco_file(tmp_path / name)
    assert not annotation_files(tmp_path)


def test_a_name_with_words_of_two_sets_is_of_none(tmp_path):
    place(tmp_path, "instances_train_val.json")
    assert found(tmp_path) == {"instances_train_val.json": None}
