from __future__ import annotations

import contextlib
import io
import math
from dataclasses import replace

import numpy as np
import pytest

from goodfit.data.instances.masks import decode_mask, encode_mask
from goodfit.tasks.instances.detection import Detection
from goodfit.tasks.instances.metrics import average_precision, coco_dataset, coco_results

CATEGORIES = ["box", "ball"]


def _frames(world, count: int = 12):
    """Frames of three sizes of objects, some with a crowd, some empty."""
    frames = []
    for number in range(count):
        frame = world.frame(
            f"f{number}", 60 + 40 * (number % 6), 90 + 50 * (number % 5), objects=number % 5, seed=number
        )
        if number % 4 == 2 and frame.instances:
            frame = replace(frame, instances=(replace(frame.instances[0], crowd=True), *frame.instances[1:]))
        frames.append(frame)
    return frames


def _guesses(frames, seed: int = 0) -> list[Detection]:
    """What a mediocre detector finds: shifted, doubled, of the wrong category, out of nowhere."""
    rng = np.random.default_rng(seed)
    guesses = []
    for frame in frames:
        boxes, scores, categories, masks = [], [], [], []
        for instance in frame.instances:
            mask = decode_mask(instance, frame.height, frame.width)
            for _ in range(int(rng.integers(0, 4))):
                down, right = rng.integers(-6, 7, 2)
                moved = np.roll(mask, (down, right), (0, 1))
                ys, xs = np.flatnonzero(moved.any(1)), np.flatnonzero(moved.any(0))
                boxes.append([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1])
                scores.append(rng.random())
                categories.append(instance.category if rng.random() < 0.8 else 3 - instance.category)
                masks.append(encode_mask(moved))
        for _ in range(int(rng.integers(0, 3))):
            mask = np.zeros((frame.height, frame.width), dtype=bool)
            mask[5:30, 7:40] = True
            boxes.append([7, 5, 40, 30])
            scores.append(rng.random())
            categories.append(int(rng.integers(1, 3)))
            masks.append(encode_mask(mask))
        order = np.argsort(scores)[::-1] if scores else []
        guesses.append(
            Detection(
                np.array(boxes, dtype=np.float32).reshape(-1, 4)[order],
                np.array(scores, dtype=np.float32)[order],
                np.array(categories, dtype=np.int64)[order],
                [masks[place] for place in order],
            )
        )
    return guesses


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_equal_to_pycocotools_to_six_digits(world, kind) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    frames = _frames(world)
    guesses = _guesses(frames)
    assert any(instance.crowd for frame in frames for instance in frame.instances)
    own = average_precision(frames, guesses, CATEGORIES, kind)
    with contextlib.redirect_stdout(io.StringIO()):
        reference = coco.COCO()
        reference.dataset = coco_dataset(frames, CATEGORIES)
        reference.createIndex()
        found = reference.loadRes(coco_results(guesses, masks=kind == "segm"))
        judge = cocoeval.COCOeval(reference, found, kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    names = ("ap", "ap50", "ap75", "small", "medium", "large")
    for name, expected in zip(names, judge.stats[:6], strict=True):
        value = getattr(own, name)
        assert (-1 if math.isnan(value) else value) == pytest.approx(expected, abs=1e-6), name
    assert own.recall == pytest.approx(judge.stats[8], abs=1e-6)
    assert 0.1 < own.ap < 0.9
    per_category = judge.eval["precision"][:, :, :, 0, -1]
    for number, name in enumerate(CATEGORIES):
        assert own.categories[name] == pytest.approx(per_category[:, :, number].mean(), abs=1e-6)


def _perfect(frames) -> list[Detection]:
    return [
        Detection(
            np.array([i.box for i in frame.instances], dtype=np.float32).reshape(-1, 4),
            np.ones(len(frame.instances), dtype=np.float32),
            np.array([i.category for i in frame.instances], dtype=np.int64),
            [i.segmentation for i in frame.instances],
        )
        for frame in frames
    ]


def test_a_perfect_detector_scores_one(world) -> None:
    frames = _frames(world)
    for kind in ("bbox", "segm"):
        scores = average_precision(frames, _perfect(frames), CATEGORIES, kind)
        assert scores.ap == scores.ap50 == scores.ap75 == scores.recall == 1


def test_finding_nothing_scores_zero(world) -> None:
    frames = _frames(world)
    nothing = [Detection(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), [])] * len(
        frames
    )
    assert average_precision(frames, nothing, CATEGORIES, "segm").ap == 0


def test_a_category_that_does_not_occur_is_undefined_and_not_counted(world) -> None:
    frames = [frame for frame in _frames(world) if frame.instances]
    frames = [
        replace(frame, instances=tuple(replace(instance, category=1) for instance in frame.instances))
        for frame in frames
    ]
    scores = average_precision(frames, _perfect(frames), CATEGORIES, "bbox")
    assert scores.ap == 1
    assert math.isnan(scores.categories["ball"])


def test_frames_without_any_object_have_no_score(world) -> None:
    frames = [world.frame("empty", objects=0)]
    scores = average_precision(frames, _perfect(frames), CATEGORIES, "bbox")
    assert math.isnan(scores.ap)


def test_only_so_many_detections_count(world) -> None:
    frames = [world.frame("a", 300, 300, objects=0)]
    boxes = [(float(x), float(y), x + 9.0, y + 9.0) for x in range(0, 300, 20) for y in range(0, 300, 20)]
    base = world.frame("b", objects=1).instances[0]
    instances = tuple(replace(base, category=1, box=box, segmentation=None, area=81.0) for box in boxes)
    frames = [replace(frames[0], instances=instances)]
    found = [Detection(np.array(boxes, np.float32), np.ones(225, np.float32), np.ones(225, np.int64), None)]
    assert average_precision(frames, found, CATEGORIES, "bbox").recall == pytest.approx(100 / 225, abs=0.01)
    assert average_precision(frames, found, CATEGORIES, "bbox", most=300).recall == 1


def test_dataset_without_masks(world) -> None:
    frames = [world.frame("a", masks=False)]
    content = coco_dataset(frames, CATEGORIES)
    assert all("segmentation" not in entry for entry in content["annotations"])
    assert [entry["id"] for entry in content["annotations"]] == [1, 2, 3]
    assert content["images"] == [{"id": 1, "file_name": "a", "height": 96, "width": 128}]
