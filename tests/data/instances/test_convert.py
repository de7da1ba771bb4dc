from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from goodfit.data.instances.checks import check_instances
from goodfit.data.instances.convert import _objects, masks_to_coco
from goodfit.data.instances.dataset import open_instances
from goodfit.data.instances.masks import decode_mask, encode_mask
from goodfit.errors import DatasetError


@pytest.fixture
def save(tmp_path, kit):
    """Write images and masks below one folder; give the folder."""

    def run(images, masks):
        for name, size in images.items():
            kit.save_picture(tmp_path / "in/images" / name, kit.picture(len(name), size))
        for name, mask in masks.items():
            path = tmp_path / "in/masks" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            (mask if isinstance(mask, Image.Image) else Image.fromarray(mask)).save(path)
        return tmp_path / "in"

    return run


def blobs(dtype=np.uint8, top=300):
    mask = np.zeros((20, 30), dtype)
    mask[2:8, 3:9] = 1
    mask[10:15, 20:30] = min(top, np.iinfo(dtype).max)
    mask[0:2, 29] = 1
    return mask


@given(arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)))
def test_each_value_is_encoded_as_the_library_does(mask):
    found = dict(_objects(mask.astype(np.int64)))
    assert found.keys() == set(np.unique(mask).tolist()) - {0}
    for value, fields in found.items():
        assert fields["segmentation"] == encode_mask(mask == value)
        assert fields["area"] == (mask == value).sum()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_masks_become_a_dataset_that_reads_the_same(save, tmp_path, dtype):
    root = save({"a.png": (20, 30), "b.png": (20, 30)}, {"a.png": blobs(dtype), "b.png": np.zeros((20, 30), dtype)})
    steps = []
    done = masks_to_coco(root, tmp_path / "out", category="cell", on_progress=lambda *step: steps.append(step))
    assert (done.images, done.empty, done.instances, done.categories, done.notes) == (2, 1, 2, ("cell",), ())
    assert steps == [(1, 2), (2, 2)]
    dataset = open_instances(tmp_path / "out")
    assert not dataset.problems
    assert dataset.categories == ("cell",)
    frame = dataset.frame("a")
    for instance, value in zip(frame.instances, np.unique(blobs(dtype))[1:], strict=True):
        np.testing.assert_array_equal(decode_mask(instance, 20, 30), blobs(dtype) == value)
    assert frame.instances[0].box == (3.0, 0.0, 30.0, 8.0)
    assert check_instances(tmp_path / "out").ok


def test_in_place_and_palettes(save):
    palette = Image.fromarray(blobs(top=2)).convert("P")
    palette.putdata(blobs(top=2).ravel().tolist())
    root = save({"a.jpg": (20, 30)}, {"a.png": palette})
    done = masks_to_coco(root, root)
    assert (done.file, done.instances) == (root / "annotations.json", 2)
    assert len(open_instances(root).frames[0].instances) == 2


def test_folders_of_categories(save, tmp_path):
    empty = np.zeros((20, 30), np.uint8)
    root = save(
        {"a.png": (20, 30), "b.png": (20, 30)},
        {"cell/a.png": blobs(), "cell/b.png": empty, "debris/a.png": blobs(top=2)},
    )
    done = masks_to_coco(root, tmp_path / "out")
    assert done.categories == ("cell", "debris")
    assert [one.category for one in open_instances(tmp_path / "out").frame("a").instances] == [1, 1, 2, 2]


def test_folders_of_videos_give_groups_numbers_and_tracks(save, tmp_path):
    names = [f"v{video}/{number:05d}.png" for video in (1, 2) for number in (0, 7)]
    root = save(dict.fromkeys(names, (20, 30)), dict.fromkeys(names, blobs(top=2)))
    masks_to_coco(root, tmp_path / "out")
    dataset = open_instances(tmp_path / "out")
    assert [(frame.group, frame.number) for frame in dataset.frames] == [("v1", 0), ("v1", 7), ("v2", 0), ("v2", 7)]
    assert [one.track for one in dataset.frames[0].instances] == [1, 2]


def test_masks_of_a_class_are_told(save, tmp_path):
    root = save(
        {"a.png": (20, 30), "b.png": (20, 30)}, dict.fromkeys(["a.png", "b.png"], (blobs() > 0).astype(np.uint8))
    )
    assert "one value only" in masks_to_coco(root, tmp_path / "out").notes[0]


@pytest.mark.parametrize(
    ("images", "masks", "message"),
    [
        (["a.png"], {"b.png": blobs()}, r"1 images have no mask \(a\) and 1 masks have no image \(b\)"),
        (["a.png"], {"a.png": np.zeros((4, 5), np.uint8)}, "the mask has 5 x 4, its image 30 x 20 pixels"),
        (["a.png"], {"a.png": np.zeros((20, 30, 3), np.uint8)}, "one grey channel of whole numbers"),
        (["a.png", "a.jpg"], {"a.png": blobs()}, "has the same name"),
        ([], {"a.png": blobs()}, "no folder images/"),
    ],
)
def test_what_cannot_be_converted_is_named_and_nothing_written(save, tmp_path, images, masks, message):
    root = save(dict.fromkeys(images, (20, 30)), masks)
    with pytest.raises(DatasetError, match=message):
        masks_to_coco(root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_content_is_not_written_over(save, tmp_path):
    root = save({"a.png": (20, 30)}, {"a.png": blobs()})
    (tmp_path / "out/images").mkdir(parents=True)
    (tmp_path / "out/images/a.png").write_text("mine")
    with pytest.raises(DatasetError, match="exists already"):
        masks_to_coco(root, tmp_path / "out")
    assert (tmp_path / "out/images/a.png").read_text() == "mine"
    (tmp_path / "out/images/a.png").unlink()
    masks_to_coco(root, tmp_path / "out")
    masks_to_coco(root, tmp_path / "out")
    assert len(json.loads((tmp_path / "out/annotations.json").read_text())["annotations"]) == 2
