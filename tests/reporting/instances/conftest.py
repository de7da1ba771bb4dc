"""A small finished run on instances, written by hand."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from goodfit.data.instances.dataset import open_instances
from goodfit.data.instances.masks import decode_mask, encode_mask
from goodfit.planning.instances.plan import InstancePlan, save_instance_plan
from goodfit.preprocessing.frames_fill import fill_frames
from goodfit.tasks.instances.detection import Detection
from goodfit.tasks.instances.evaluation import evaluate_instances, write_results
from goodfit.tasks.instances.scores import save_instance_scores

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from goodfit.data.instances.model import Frame

HEIGHT, WIDTH = 90, 120
CATEGORIES = ("person", "blanket")
FRAMES = 12
PARTS = ("rpn_objectness", "rpn_box", "class", "box", "mask")


def ellipse(x: float, y: float, a: float, b: float) -> npt.NDArray[np.bool_]:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    inside: npt.NDArray[np.bool_] = ((columns - x) / a) ** 2 + ((rows - y) / b) ** 2 <= 1
    return inside


def write_dataset(root: Path, *, masks: bool = True) -> None:
    """Three videos of two objects each that move to the right."""
    (root / "images").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for video in range(3):
        for at in range(FRAMES):
            number = len(images) + 1
            name = f"images/v{video}_{at:03d}.png"
            picture = np.random.default_rng(number).integers(40, 90, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            images.append(
                {"id": 100 + number, "file_name": name, "height": HEIGHT, "width": WIDTH, "video_id": f"v{video}"}
                | {"frame_index": at}
            )
            shapes = [(0, ellipse(20 + 6 * at % 80, 30, 12, 18)), (1, ellipse(90, 60, 14, 9))]
            for category, mask in shapes:
                picture[mask] = ((200, 120, 60), (60, 150, 200))[category]
                ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                box = [int(xs[0]), int(ys[0]), int(xs[-1] - xs[0] + 1), int(ys[-1] - ys[0] + 1)]
                entry = {"id": len(annotations) + 1, "image_id": 100 + number, "category_id": 7 + category, "bbox": box}
                area = int(mask.sum()) if masks else box[2] * box[3]
                code = {"segmentation": encode_mask(mask)} if masks else {}
                annotations.append(entry | code | {"area": area, "iscrowd": 0})
            Image.fromarray(picture).save(root / name)
    categories = [{"id": 7 + at, "name": name} for at, name in enumerate(CATEGORIES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(content))


def plan(*, masks: bool = True) -> InstancePlan:
    return InstancePlan.model_validate(
        {
            "goodfit_version": "0.1.0",
            "memory": 8e9,
            "data": {"name": "Ward", "key": "0", "categories": list(CATEGORIES), "has_masks": masks},
            "model": {
                "masks": masks,
                "image_min_size": 96,
                "reasons": {"image_min_size": "half of the <median> frame"},
            },
            "batch_size": 4,
            "budget": {"epochs": 20, "steps_per_epoch": 50},
        }
    )


def guess(frames: list[Frame], *, masks: bool = True) -> list[Detection]:
    """Worse from video to video and towards the end of each; sometimes there is something that is not."""
    rng = np.random.default_rng(0)
    found = []
    for frame in frames:
        shift = frame.number // 2 % 8
        boxes, scores, categories, codes = [], [], [], []
        for one in frame.instances:
            if rng.random() < 0.15:
                continue
            x0, y0, x1, y1 = one.box
            boxes.append([x0 + shift, y0, x1 + shift, y1])
            scores.append(rng.uniform(0.55, 1.0))
            categories.append(one.category if rng.random() < 0.9 else 3 - one.category)
            codes.append(encode_mask(np.roll(decode_mask(one, HEIGHT, WIDTH), shift, 1)))
        if rng.random() < 0.3:
            boxes.append([5, 60, 25, 80])
            scores.append(0.51)
            categories.append(1)
            codes.append(encode_mask(ellipse(15, 70, 10, 10)))
        order = np.argsort(scores)[::-1].astype(int)
        found.append(
            Detection(
                np.array(boxes, dtype=np.float32).reshape(-1, 4)[order],
                np.array(scores, dtype=np.float32)[order],
                np.array(categories, dtype=np.int64)[order],
                [codes[place] for place in order] if masks else None,
            )
        )
    return found


def write_metrics(path: Path, *, masks: bool = True) -> None:
    rows = []
    for epoch in range(1, 13):
        phase = "warmup" if epoch == 1 else "stable" if epoch < 9 else "cooldown"
        row: dict[str, Any] = {"epoch": epoch, "step": 50 * epoch, "phase": phase, "lr": 0.002}
        row |= {"train_loss": 2 / epoch, "train_eval_loss": 1.9 / epoch, "val_loss": 2.2 / epoch}
        for part in PARTS[: None if masks else -1]:
            row |= {f"train_loss_{part}": 0.4 / epoch, f"val_loss_{part}": 0.44 / epoch}
        row |= {"val_ap": 0.05 * epoch, "val_ap50": 0.07 * epoch, "val_ap75": 0.04 * epoch}
        row |= {f"val_ap_{name}": 0.05 * epoch + 0.03 * at for at, name in enumerate(CATEGORIES)}
        row |= {"cpu_percent": 90, "memory_bytes": 2**30, "samples_per_second": 8.5}
        rows.append(row | {"seconds": 3.0, "elapsed_seconds": 3.0 * epoch})
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


EVENTS = [
    {
        "epoch": 8,
        "step": 400,
        "phase": "cooldown",
        "reason": "epoch 8: the user asked to stop: cooldown of 200 steps begins",
    },
    {"epoch": 12, "step": 600, "phase": "done", "reason": "epoch 12: the cooldown is finished"},
]


def write_run(tmp_path: Path, *, masks: bool = True) -> Path:
    root, run = tmp_path / "Ward", tmp_path / "run"
    run.mkdir()
    write_dataset(root, masks=masks)
    dataset = open_instances(root)
    videos = dataset.groups()
    save_instance_plan(plan(masks=masks), run / "plan.json")
    sets = {name: [frame.name for frame in videos[f"v{at}"]] for at, name in enumerate(("train", "validation"))}
    test = [*videos["v2"], *videos["v1"]]
    split = {"seed": 7, "source": "by group", **sets, "test": [frame.name for frame in test]}
    groups = {frame.name: frame.group for frame in dataset.frames}
    (run / "splits.json").write_text(json.dumps({**split, "groups": groups, "warnings": ["few videos"]}))
    write_metrics(run / "metrics.csv", masks=masks)
    (run / "events.json").write_text(json.dumps(EVENTS))
    found = guess(test, masks=masks)
    write_results(run / "predictions" / "test.json", test, found, dataset)
    save_instance_scores(evaluate_instances(test, found, CATEGORIES, masks=masks), run / "scores.json")
    fill_frames(dataset.frames, tmp_path / "frames", 96, 160, workers=1)
    record = {"kind": "instances", "dataset": str(root), "frames": str(tmp_path / "frames"), "status": "finished"}
    (run / "run.json").write_text(json.dumps({**record, "settings": {}, "environment": {"device": "cpu"}}))
    return run


@pytest.fixture
def instance_run(tmp_path: Path) -> Path:
    """A run folder with all its parts; dataset and stored frames lie beside it."""
    return write_run(tmp_path)


@pytest.fixture
def box_run(tmp_path: Path) -> Path:
    """The same of a dataset with boxes alone."""
    return write_run(tmp_path, masks=False)
