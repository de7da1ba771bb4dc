"""A small dataset of frames with instances, and settings of a training that takes seconds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import goodfit
from goodfit.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.commands.fitting import TrainResult

QUICK: dict[str, Any] = {
    "model.weights": "none",
    "model.image_min_size": 64,
    "model.image_max_size": 96,
    "model.rpn_candidates_train": 50,
    "model.rpn_proposals_train": 50,
    "model.rpn_candidates_test": 50,
    "model.rpn_proposals_test": 20,
    "model.regions_per_image": 16,
    "model.detections_per_image": 5,
    "plan.batch_size": 2,
    "budget.epochs": 2,
    "budget.steps_per_epoch": 2,
    "training.validation_share": 1,
    "training.warmup": 0,
    "machine.device": "cpu",
    "machine.workers": 0,
}


class Listener(Observer):
    """Keeps stages and notes."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []

    def stage(self, name: str) -> None:
        self.stages.append(name)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def quick() -> dict[str, Any]:
    return dict(QUICK)


@pytest.fixture(scope="session")
def quick_settings() -> dict[str, Any]:
    return dict(QUICK)


def write_frames(root: Path, *, videos: int = 5, frames: int = 3, seed: int = 0) -> Path:
    """Coloured rectangles of two kinds on noise: one COCO file, PNG files, ``video_id`` and ``frame``."""
    random = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for video in range(videos):
        for frame in range(frames):
            picture = random.integers(0, 80, (64, 80, 3), dtype=np.uint8)
            number, name = len(images) + 1, f"v{video}_{frame:03d}.png"
            for category in (1, 2):
                x, y = 8 + 36 * (category - 1) + frame, 10 + 3 * video + 2 * frame
                w, h = 18 + category, 22
                picture[y : y + h, x : x + w] = (220, 40, 40) if category == 1 else (40, 60, 230)
                corners = [x, y, x + w, y, x + w, y + h, x, y + h]
                entry = {"image_id": number, "category_id": category, "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0}
                annotations.append({"id": len(annotations) + 1, "segmentation": [corners], **entry})
            Image.fromarray(picture).save(root / "images" / name)
            place = {"file_name": name, "video_id": f"video_{video}", "frame": frame}
            images.append({"id": number, "width": 80, "height": 64, **place})
    categories = [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(content))
    return root


@pytest.fixture
def make_frames(tmp_path: Path) -> Callable[..., Path]:
    """Write a dataset: ``make_frames(videos=4)``."""

    def build(name: str = "Frames", **options: Any) -> Path:
        return write_frames(tmp_path / name, **options)

    return build


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five videos of three frames; not to be changed."""
    return write_frames(tmp_path_factory.mktemp("data") / "Frames")


@pytest.fixture(scope="session")
def finished(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A finished training of four steps; not to be changed."""
    return goodfit.train(frames, run=tmp_path_factory.mktemp("runs") / "run", settings=QUICK)
