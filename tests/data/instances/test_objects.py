from __future__ import annotations

import pytest

from goodfit.data.instances import kinds
from goodfit.data.instances.objects import make_instance

SIZE = (20, 30)
SQUARE = [2, 3, 8, 3, 8, 9, 2, 9]


def make(**fields):
    found = []
    entry = {"id": 1, "bbox": [2, 3, 6, 6], **fields}
    instance = make_instance(entry, 2, SIZE, None, lambda kind, example: found.append(kind))
    return instance, found


def test_polygons_box_and_area():
    instance, found = make(segmentation=[SQUARE], area=36, iscrowd=0)
    assert not found
    assert instance.box == (2.0, 3.0, 8.0, 9.0)
    assert instance.segmentation == [[float(value) for value in SQUARE]]
    assert (instance.category, instance.area, instance.crowd) == (2, 36.0, False)
    assert make(segmentation=SQUARE)[0].segmentation == instance.segmentation


def test_run_lengths_become_compressed():
    counts = [2 * 20 + 3]
    for _ in range(6):
        counts += [6, 14]
    counts[-1] = 600 - sum(counts[:-1])
    instance, found = make(segmentation={"size": [20, 30], "counts": counts}, iscrowd=1)
    assert not found
    assert isinstance(instance.segmentation["counts"], str)
    assert (instance.area, instance.crowd) == (36.0, True)
    again, found = make(segmentation=instance.segmentation)
    assert not found
    assert again.segmentation == instance.segmentation


@pytest.mark.parametrize("value", [None, [], "", {}])
def test_boxes_only(value):
    instance, found = make(segmentation=value)
    assert not found
    assert instance.segmentation is None
    assert instance.area == 36


@pytest.mark.parametrize("bbox", [None, []])
def test_the_masks_box_where_there_is_none(bbox):
    instance, found = make(segmentation=[SQUARE], bbox=bbox)
    assert not found
    assert instance.box == (2.0, 3.0, 8.0, 9.0)


@pytest.mark.parametrize(
    ("fields", "expected", "kept"),
    [
        ({"bbox": [-0.5, 3, 6, 6]}, [kinds.BOX_OVER_EDGE], True),
        ({"bbox": [25, 3, 8, 6]}, [kinds.BOX_OVER_EDGE], True),
        ({"bbox": [25, 3, 12, 6]}, [kinds.BOX_OUTSIDE], True),
        ({"bbox": [40, 3, 6, 6]}, [kinds.BOX_OUTSIDE], False),
        ({"bbox": [2, 3, 0, 6]}, [kinds.BOX_EMPTY], False),
        ({"bbox": [2, 3, 4, -6]}, [kinds.BOX_EMPTY], False),
        ({"bbox": [30, 3, 0.5, 6]}, [kinds.BOX_OVER_EDGE, kinds.BOX_EMPTY], False),
        ({"bbox": [2, 3, 4]}, [kinds.BROKEN_BOX], False),
        ({"bbox": None}, [kinds.BROKEN_BOX], False),
        ({"bbox": [2, 3, "4", 6]}, [kinds.BROKEN_BOX], False),
        ({"bbox": [2, 3, float("nan"), 6]}, [kinds.BROKEN_BOX], False),
        ({"segmentation": 7}, [kinds.BROKEN_MASK], True),
        ({"segmentation": [[1, 2, 3]]}, [kinds.BROKEN_MASK], True),
        ({"segmentation": [[1, 2, 3, "4", 5, 6]]}, [kinds.BROKEN_MASK], True),
        ({"segmentation": [[2, 3, 8, 3]]}, [kinds.EMPTY_POLYGON], True),
        ({"segmentation": [SQUARE, [2, 3, 4, 5, 6, 7]]}, [kinds.EMPTY_POLYGON], True),
        ({"segmentation": [[-2, 3, 8, 3, 8, 9, -2, 9]]}, [kinds.POLYGON_OUTSIDE], True),
        ({"segmentation": {"size": [30, 20], "counts": [0, 600]}}, [kinds.RLE_SIZE], True),
        ({"segmentation": {"size": [20, 30], "counts": [0, 60]}}, [kinds.RLE_DAMAGED], True),
        ({"segmentation": {"size": [20, 30], "counts": "€"}}, [kinds.RLE_DAMAGED], True),
        ({"segmentation": {"size": [20, 30], "counts": [600]}}, [kinds.EMPTY_MASK], True),
        ({"segmentation": [[2, 3, 28, 3, 28, 9]]}, [kinds.BOX_OFF_MASK], True),
        ({"segmentation": [SQUARE], "bbox": [2, 3, 0, 0]}, [kinds.BOX_OFF_MASK], True),
        ({"segmentation": [SQUARE], "area": 600}, [kinds.WRONG_AREA], True),
    ],
)
def test_defects_are_noted_and_handled(fields, expected, kept):
    instance, found = make(**fields)
    assert found == expected
    assert (instance is not None) == kept
    if instance is not None:
        x0, y0, x1, y1 = instance.box
        assert 0 <= x0 < x1 <= 30
        assert 0 <= y0 < y1 <= 20


def test_an_area_far_from_the_masks_is_replaced():
    assert make(segmentation=[SQUARE], area=600)[0].area == 36
    assert make(segmentation=[SQUARE], area=40)[0].area == 40
