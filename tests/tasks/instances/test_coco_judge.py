from __future__ import annotations

import math

import pytest

from goodfit.tasks.instances.coco_judge import CocoJudge


def content(boxes_of_images):
    """A reference of one category and a result that finds every first object exactly."""
    annotations, results = [], []
    for image, boxes in enumerate(boxes_of_images, start=1):
        for at, box in enumerate(boxes):
            entry = {"image_id": image, "category_id": 1, "bbox": list(box)}
            annotations.append({"id": len(annotations) + 1, "area": box[2] * box[3], "iscrowd": 0, **entry})
            if at == 0:
                results.append({"score": 0.9 - 0.1 * image, **entry})
    images = [
        {"id": at, "file_name": str(at), "height": 300, "width": 300} for at in range(1, len(boxes_of_images) + 1)
    ]
    categories = [{"id": 1, "name": "thing"}, {"id": 2, "name": "ghost"}]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}, results


BOXES = [[(0, 0, 20, 20), (50, 50, 50, 50)], [(10, 10, 100, 100)], []]


def test_sizes_and_recalls():
    numbers = CocoJudge(*content(BOXES), "bbox").score().numbers()
    assert (numbers.ap_small, numbers.ap_medium, numbers.ap_large) == (1, 0, 1)
    assert numbers.ar_1 == numbers.ar_100 == pytest.approx(2 / 3)
    assert numbers.ap == numbers.ap50 == numbers.ap75 == pytest.approx(67 / 101)  # recalls 0, 0.01 ... 0.66 are reached


def test_some_images_are_scored_as_if_there_were_no_others():
    judge = CocoJudge(*content(BOXES), "bbox")
    assert judge.score([2]).ap == 1
    assert judge.score([1]).ap == pytest.approx(51 / 101)
    assert math.isnan(judge.score([3]).ap)
    assert judge.score().ap50 == pytest.approx(67 / 101)


def test_curves_and_categories():
    tables = CocoJudge(*content(BOXES), "bbox").score()
    curves = tables.curves(["thing", "ghost"])
    assert [(curve.category, curve.iou) for curve in curves] == [("thing", 0.5), ("thing", 0.75)]
    assert curves[0].precision == [1.0] * 67 + [0.0] * 34
    assert curves[0].scores[0] == pytest.approx(0.8)
    assert curves[0].scores[66] == pytest.approx(0.7)
    assert tables.category(0, 3).ap == pytest.approx(67 / 101)
    assert math.isnan(tables.category(1, 0).ap50)


def test_no_detection_at_all():
    reference, _ = content(BOXES)
    assert CocoJudge(reference, [], "bbox").score().ap == 0
