from __future__ import annotations

import json

import numpy as np
import pytest

from goodfit.data.instances.dataset import open_instances
from goodfit.data.instances.masks import encode_mask
from goodfit.errors import DatasetError
from goodfit.tasks.instances.detection import Detection
from goodfit.tasks.instances.evaluation import evaluate_files, evaluate_instances
from goodfit.tasks.instances.results import numbering, read_results, write_reference, write_results

H, W = 24, 32


def mask_at(x):
    mask = np.zeros((H, W), dtype=bool)
    mask[4:12, x : x + 8] = True
    return mask


def coco_file(path, names, first=50, categories=((9, "ball"), (3, "box"))):
    from PIL import Image

    images, annotations = [], []
    for at, name in enumerate(names):
        (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (W, H)).save(path.parent / name)
        images.append({"id": first + at, "file_name": name, "height": H, "width": W, "video_id": f"v{at % 2}"})
        entry = {"id": at + 1, "image_id": first + at, "category_id": categories[at % 2][0], "iscrowd": 0}
        annotations.append({**entry, "bbox": [at, 4, 8, 8], "area": 64, "segmentation": encode_mask(mask_at(at))})
    listed = [{"id": number, "name": name} for number, name in categories]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": listed}))


def found(count, *, masks=True):
    detections = []
    for at in range(count):
        boxes = np.array([[at + 0.1, 4, at + 8.3, 12]] * (at % 3), dtype=np.float32).reshape(-1, 4)
        scores = np.linspace(0.9, 0.6, at % 3, dtype=np.float32) - np.float32(
            at / 100
        )  # no ties: COCO's depend on order
        codes = [encode_mask(mask_at(at))] * (at % 3) if masks else None
        detections.append(Detection(boxes, scores, np.full(at % 3, 1 + at % 2, dtype=np.int64), codes))
    return detections


def same(one, other):
    return (
        (one.boxes == other.boxes).all()
        and (one.scores == other.scores).all()
        and (one.categories == other.categories).all()
        and one.masks == other.masks
    )


@pytest.fixture
def dataset(tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    coco_file(root / "annotations.json", [f"images/{at}.png" for at in range(6)])
    return open_instances(root)


@pytest.mark.parametrize("masks", [True, False])
def test_results_come_back_as_they_were(dataset, tmp_path, masks):
    frames = list(dataset.frames)[::-1]
    detections = found(len(frames), masks=masks)
    write_results(tmp_path / "r.json", frames, detections, dataset)
    assert all(map(same, read_results(tmp_path / "r.json", frames, dataset), detections))
    some = read_results(tmp_path / "r.json", frames[2:4], dataset)
    assert all(map(same, some, detections[2:4]))


def test_the_ids_are_those_of_the_dataset(dataset, tmp_path):
    frame = dataset.frame("4")
    write_results(tmp_path / "r.json", [frame], [found(6)[2]], dataset)
    entries = json.loads((tmp_path / "r.json").read_text())
    assert [(entry["image_id"], entry["category_id"], entry["frame"]) for entry in entries] == [(54, 3, "4")] * 2
    assert dataset.categories[0] == "box"  # in order of ids: 3 is number 1
    assert numbering([frame], dataset).categories == [3, 9]


def test_several_files_with_the_frames_in_one(tmp_path):
    for place in ("train", "test"):
        (tmp_path / place).mkdir()
        coco_file(tmp_path / place / "_annotations.coco.json", [f"{place}{at}.png" for at in range(4)], first=1)
    joined = open_instances(tmp_path)
    test = [frame for frame in joined.frames if joined.given_split[frame.name] == "test"]
    assert sorted(numbering(test, joined).images) == [1, 2, 3, 4]
    assert numbering(joined.frames, joined).images == list(range(1, 9))  # counted anew: both files begin with 1


@pytest.mark.parametrize("masks", [True, False])
def test_files_score_as_the_detections_do(dataset, tmp_path, masks):
    frames = list(dataset.frames)
    detections = found(len(frames), masks=masks)
    write_results(tmp_path / "r.json", frames, detections, dataset)
    write_reference(tmp_path / "reference.json", frames, dataset)
    direct = evaluate_instances(frames, detections, dataset.categories, masks=masks)
    for reference in (tmp_path / "reference.json", dataset.root / "annotations.json"):
        scores = evaluate_files(tmp_path / "r.json", reference)
        assert {kind: numbers.ap for kind, numbers in scores.kinds.items()} == pytest.approx(
            {kind: numbers.ap for kind, numbers in direct.kinds.items()}
        )
        assert {name: group.ap for name, group in scores.groups.items()} == pytest.approx(
            {name: group.ap for name, group in direct.groups.items()}
        )
        assert scores.confusion == direct.confusion


GOOD = {"image_id": 50, "category_id": 9, "score": 0.5, "bbox": [0, 0, 5, 5]}
RLE = encode_mask(mask_at(0))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"annotations": []}, "which is a list"),
        ([3], "entry 0: expected an object"),
        ([GOOD, GOOD | {"image_id": 7}], "entry 1: image_id 7 is not in the reference"),
        ([GOOD | {"score": "high"}], "score 'high' is no number"),
        ([GOOD | {"bbox": [1, 2, 3]}], r"bbox \[1, 2, 3\] is not"),
        ([GOOD | {"segmentation": [[0, 0, 5, 0, 5, 5]]}], "no run-length code"),
        ([GOOD | {"segmentation": {**RLE, "counts": RLE["counts"][:-1]}}], "damaged"),
        ([GOOD | {"segmentation": encode_mask(np.ones((W, H)))}], r"size \[32, 24\], the image \[24, 32\]"),
    ],
)
def test_what_is_wrong_is_named(dataset, tmp_path, content, said):
    path = tmp_path / "r.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=said):
        evaluate_files(path, dataset.root / "annotations.json")


def test_other_categories_are_left_out_and_uncompressed_masks_read(dataset, tmp_path):
    path = tmp_path / "r.json"
    runs = {"size": [H, W], "counts": [4, 8, H * W - 12]}
    path.write_text(json.dumps([GOOD | {"segmentation": runs}, GOOD | {"category_id": 1}]))
    scores = evaluate_files(path, dataset.root / "annotations.json")
    assert "1 detections are of categories that the reference does not have; left out." in scores.notes
    assert list(scores.kinds) == ["mask", "box"]


def test_masks_without_boxes_give_the_boxes(dataset, tmp_path):
    path = tmp_path / "r.json"
    path.write_text(json.dumps([{"image_id": 50, "category_id": 9, "score": 0.5, "segmentation": RLE}]))
    (first, *_) = read_results(path, [dataset.frame("0")], dataset)
    assert first.boxes.tolist() == [[0, 4, 8, 12]]
