from __future__ import annotations

import contextlib
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from goodfit.data.instances.masks import decode_mask, encode_mask
from goodfit.data.instances.model import Frame, ImageSource, Instance
from goodfit.tasks.instances.detection import Detection
from goodfit.tasks.instances.evaluation import evaluate_files, evaluate_instances
from goodfit.tasks.instances.metrics import coco_dataset, coco_results
from goodfit.tasks.instances.scores import NUMBERS

CATEGORIES = ["box", "ball", "unseen"]
SIZES = [(60, 90), (140, 190), (260, 340)]


def make_frames(world, count=24, videos=3):
    """Frames of small, medium and large objects of two categories, in videos, some with a crowd, some empty."""
    frames = []
    for at in range(count):
        height, width = SIZES[at % 3]
        frame = world.frame(f"f{at}", height, width, objects=at % 5, seed=at, group=f"v{at % videos}")
        if at % 4 == 2 and frame.instances:
            frame = replace(frame, instances=(replace(frame.instances[0], crowd=True), *frame.instances[1:]))
        frames.append(replace(frame, number=at))
    return frames


def guess(frames, seed=0):
    """What a mediocre detector finds: shifted, doubled, of the wrong category, out of nowhere."""
    rng = np.random.default_rng(seed)
    guesses = []
    for frame in frames:
        found = []
        for instance in frame.instances:
            mask = decode_mask(instance, frame.height, frame.width)
            for _ in range(int(rng.integers(0, 4))):
                moved = np.roll(mask, tuple(rng.integers(-6, 7, 2)), (0, 1))
                category = instance.category if rng.random() < 0.8 else 3 - instance.category
                found.append((float(rng.random()), category, moved))
        for _ in range(int(rng.integers(0, 3))):
            mask = np.zeros((frame.height, frame.width), dtype=bool)
            mask[5:30, 7:40] = True
            found.append((float(rng.random()), int(rng.integers(1, 3)), mask))
        guesses.append(detection(found))
    return guesses


def detection(found):
    """Make a detection of (score, category, mask) in any order."""
    found = sorted(found, key=lambda one: -one[0])
    boxes = []
    for _, _, mask in found:
        ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        boxes.append([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1])
    return Detection(
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.array([score for score, _, _ in found], dtype=np.float32),
        np.array([category for _, category, _ in found], dtype=np.int64),
        [encode_mask(mask) for _, _, mask in found],
    )


def judged(reference, results, kind):
    """Let pycocotools score the contents of two files."""
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    with contextlib.redirect_stdout(io.StringIO()):
        true = coco.COCO()
        true.dataset = reference
        true.createIndex()
        judge = cocoeval.COCOeval(true, true.loadRes(results), kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge


def numbers(scores):
    return [-1 if math.isnan(value) else value for value in (getattr(scores, name) for name in NUMBERS)]


@pytest.fixture
def set_(world):
    frames = make_frames(world)
    guesses = guess(frames)
    return SimpleNamespace(
        frames=frames, guesses=guesses, scores=evaluate_instances(frames, guesses, CATEGORIES, masks=True)
    )


@pytest.mark.parametrize(("kind", "iou_type"), [("mask", "segm"), ("box", "bbox")])
def test_equal_to_pycocotools_to_six_digits(set_, kind, iou_type):
    frames, own = set_.frames, set_.scores.kinds[kind]
    assert any(one.crowd for frame in frames for one in frame.instances)
    judge = judged(coco_dataset(frames, CATEGORIES), coco_results(set_.guesses, masks=kind == "mask"), iou_type)
    assert numbers(own) == pytest.approx(list(judge.stats), abs=1e-6)
    assert sum(value > 0 for value in numbers(own)) == 12
    precision = judge.eval["precision"][:, :, :, 0, -1]
    for place, name in enumerate(CATEGORIES[:2]):
        category = own.categories[name]
        assert category.ap == pytest.approx(precision[:, :, place].mean(), abs=1e-6)
        assert category.ap50 == pytest.approx(precision[0, :, place].mean(), abs=1e-6)
        assert category.ap75 == pytest.approx(precision[5, :, place].mean(), abs=1e-6)
    assert math.isnan(own.categories["unseen"].ap)
    if kind == "mask":
        for curve in set_.scores.curves:
            expected = precision[0 if curve.iou == 0.5 else 5, :, CATEGORIES.index(curve.category)]
            assert curve.precision == pytest.approx(list(expected), abs=1e-6)
        assert len(set_.scores.curves) == 4


def test_a_video_scores_as_if_it_were_alone(set_):
    assert list(set_.scores.groups) == ["v0", "v1", "v2"]
    for group, scores in set_.scores.groups.items():
        own = [pair for pair in zip(set_.frames, set_.guesses, strict=True) if pair[0].group == group]
        alone = evaluate_instances([frame for frame, _ in own], [found for _, found in own], CATEGORIES, masks=True)
        assert (scores.ap, scores.ap50) == (alone.kinds["mask"].ap, alone.kinds["mask"].ap50)
        assert (scores.frames, scores.instances) == (alone.frames, alone.instances) == (8, scores.instances)
    assert len({scores.ap for scores in set_.scores.groups.values()}) == 3


def test_a_long_video_is_scored_by_fifths_in_order_of_time(world):
    frames = [replace(frame, video="v0") for frame in make_frames(world, 60, videos=1)[::-1]]
    guesses = guess(frames)
    group = evaluate_instances(frames, guesses, CATEGORIES, masks=False).groups["v0"]
    assert [part.title for part in group.parts] == [f"frames {12 * at} to {12 * at + 11}" for at in range(5)]
    assert sum(part.instances for part in group.parts) == group.instances
    last = evaluate_instances(frames[:12], guesses[:12], CATEGORIES, masks=False)
    assert group.parts[-1].ap == last.kinds["box"].ap


def test_a_large_group_that_is_no_video_has_no_parts(world):
    frames = make_frames(world, 60, videos=1)
    assert evaluate_instances(frames, guess(frames), CATEGORIES, masks=False).groups["v0"].parts == []


def test_a_group_of_several_videos_is_scored_by_video(world):
    frames = [replace(frame, group="patient", video=f"visit {at % 2}") for at, frame in enumerate(make_frames(world))]
    group = evaluate_instances(frames, guess(frames), CATEGORIES, masks=False).groups["patient"]
    assert [(part.title, part.frames) for part in group.parts] == [("visit 0", 12), ("visit 1", 12)]


def test_frames_without_groups_have_no_group_scores(world):
    frames = make_frames(world, 6, videos=6)
    seen = []
    scores = evaluate_instances(frames, guess(frames), CATEGORIES, masks=True, on_progress=lambda *at: seen.append(at))
    assert scores.groups == {}
    assert seen[-1] == (30, 30)
    assert seen == sorted(seen)


def square(x, y, side=20, size=(100, 120)):
    mask = np.zeros(size, dtype=bool)
    mask[y : y + side, x : x + side] = True
    return mask


def frame_of(name, *objects, crowd=()):
    instances = []
    for place, (category, x, y, side) in enumerate(objects):
        box = (float(x), float(y), float(x + side), float(y + side))
        code = encode_mask(square(x, y, side))
        instances.append(Instance(category, box, code, float(side**2), place in crowd))
    return Frame(name, name, 0, None, 100, 120, ImageSource(Path(name)), tuple(instances))


@pytest.mark.parametrize("masks", [True, False])
def test_confusion_matrix_and_frames_by_hand(masks):
    frames = [
        frame_of("one", (1, 0, 0, 20), (1, 40, 0, 20), (2, 0, 40, 20), (1, 60, 50, 40), crowd=(3,)),
        frame_of("two"),
        frame_of("three", (2, 10, 10, 20)),
        frame_of("four"),
    ]
    guesses = [
        detection(
            [
                (0.9, 1, square(0, 0)),  # exact
                (0.8, 1, square(1, 0)),  # the same object again
                (0.7, 2, square(40, 5)),  # of the other category, overlap 15 / 25
                (0.4, 2, square(0, 40)),  # not sure enough: the third object is missed
                (0.9, 1, square(65, 55)),  # within the crowd of its category
                (0.9, 2, square(70, 60)),  # within the crowd, but of another category
            ]
        ),
        detection([(0.6, 2, square(5, 5))]),
        detection([(0.6, 2, square(10, 12))]),  # overlap 18 / 22
        detection([]),
    ]
    scores = evaluate_instances(frames, guesses, CATEGORIES[:2], masks=masks)
    assert scores.confusion.names == ["box", "ball", "background"]
    assert scores.confusion.counts == [[1, 1, 0], [0, 1, 1], [1, 2, 0]]
    one, two, three, four = scores.per_frame
    assert (one.instances, one.found, one.missed, one.false, one.confused) == (3, 1, 2, 3, 1)
    assert (one.mean_iou, one.quality) == (1, 1 / (1 + 2 / 2 + 3 / 2))
    assert (two.instances, two.false, two.quality) == (0, 1, 0)
    assert math.isnan(two.mean_iou)
    assert three.mean_iou == three.quality == pytest.approx(18 / 22)
    assert math.isnan(four.quality)
    assert [frame.name for frame in scores.worst] == ["two", "one", "three"]
    assert scores.worst[0].what == "no object here, 1 false"
    assert scores.worst[1].what == "1 of 3 objects found, 3 false, 1 of another category, mean overlap 1.00"
    assert (scores.found, scores.false, scores.instances) == (2, 4, 4)


def test_more_objects_than_coco_counts_is_said(world):
    objects = [(1, x, y, 4) for x in range(0, 110, 10) for y in range(0, 100, 10)]
    frames = [frame_of("crowded", *objects)]
    scores = evaluate_instances(frames, [detection([])], CATEGORIES, masks=False, notes=["first"])
    assert scores.notes[0] == "first"
    assert "more than 100 objects of 'box' in 1 frame: " in scores.notes[1]


def files(tmp_path, frames, guesses, *, masks=True):
    """Write two files with ids of their own, as other programs do."""
    reference = coco_dataset(frames, CATEGORIES)
    results = coco_results(guesses, masks=masks)
    for entry in (*reference["annotations"], *results):
        entry["image_id"] = 1000 - entry["image_id"]
        entry["category_id"] *= 10
    for image in reference["images"]:
        image["id"] = 1000 - image["id"]
        image["video_id"] = frames[1000 - image["id"] - 1].group
    for category in reference["categories"]:
        category["id"] *= 10
    (tmp_path / "reference.json").write_text(json.dumps(reference))
    (tmp_path / "results.json").write_text(json.dumps(results))
    return tmp_path / "results.json", tmp_path / "reference.json"


@pytest.mark.parametrize("masks", [True, False])
def test_two_files_score_as_pycocotools_has_it(set_, tmp_path, masks):
    results, reference = files(tmp_path, set_.frames, set_.guesses, masks=masks)
    scores = evaluate_files(results, reference)
    assert list(scores.kinds) == (["mask", "box"] if masks else ["box"])
    kind = "mask" if masks else "box"
    judge = judged(*(json.loads(path.read_text()) for path in (reference, results)), "segm" if masks else "bbox")
    assert numbers(scores.kinds[kind]) == pytest.approx(list(judge.stats), abs=1e-6)
    assert scores.set_name == "evaluation"
    assert list(scores.groups) == ["v0", "v1", "v2"]
    assert [scores.groups[f"v{at}"].frames for at in range(3)] == [8, 8, 8]
    assert ("The results have no masks, so boxes are scored." in scores.notes) != masks
    assert any("have no detection" in note for note in scores.notes)


def test_no_detection_at_all_scores_zero(set_, tmp_path):
    results, reference = files(tmp_path, set_.frames, set_.guesses)
    results.write_text("[]")
    scores = evaluate_files(results, reference)
    assert [kind.ap for kind in scores.kinds.values()] == [0, 0]
    assert scores.found == 0
