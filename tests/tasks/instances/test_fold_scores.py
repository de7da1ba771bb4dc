"""Scores of folds: their means, spread and table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from goodfit.tasks.instances.detection import Detection
from goodfit.tasks.instances.evaluation import evaluate_instances
from goodfit.tasks.instances.fold_scores import fold_means, fold_rows, spread_over_folds

if TYPE_CHECKING:
    from goodfit.tasks.instances.scores import InstanceScores


def score(world, names, categories, *, found) -> InstanceScores:
    """Score frames where every object, or none, is found."""
    frames = [world.frame(name, objects=2) for name in names]
    detections = []
    for frame in frames:
        known = frame.instances if found else ()
        boxes = np.array([one.box for one in known], dtype=np.float32).reshape(-1, 4)
        numbers = np.array([one.category for one in known], dtype=np.int64)
        masks = [one.segmentation for one in known]
        detections.append(Detection(boxes, np.full(len(known), 0.9, np.float32), numbers, masks))
    return evaluate_instances(frames, detections, categories, masks=True)


@pytest.fixture
def folds(world):
    categories = ["box", "ball"]
    return {
        "0": score(world, ["a", "b", "c", "d"], categories, found=True),
        "1": score(world, ["e", "f", "g"], categories, found=False),
    }


def test_means_of_a_fold_are_null_where_undefined(folds) -> None:
    means, classes = fold_means(folds["0"])
    assert means["mask_ap"] == pytest.approx(1.0)
    assert means["mask_ap_large"] is None or means["mask_ap_large"] <= 1
    assert set(classes) == {"box", "ball"}
    assert set(classes["box"]) == {"mask_ap", "mask_ap50", "mask_ap75", "box_ap", "box_ap50", "box_ap75"}


def test_spread_counts_each_fold_once(folds) -> None:
    spread = spread_over_folds(folds)
    assert spread.folds == 2
    assert spread.mean["mask_ap"].mean == pytest.approx(0.5)
    assert spread.mean["mask_ap"].std == pytest.approx(0.5)
    assert spread_over_folds({}).folds == 0
    assert not math.isnan(spread.classes["box"]["box_ap"].mean)


def test_the_table_ends_with_folds_and_frames(folds, world) -> None:
    together = score(world, ["a", "b"], ["box", "ball"], found=True)
    header, *rows = fold_rows(folds, together)
    assert header[:3] == ["fold", "frames", "objects"]
    assert header[-2:] == ["box mask AP", "ball mask AP"]
    assert [row[0] for row in rows] == ["0", "1", "mean over folds", "all frames together"]
    assert rows[0][1:4] == ["4", "8", "1.000"]
    assert rows[2][3] == "0.500 ± 0.500"
    assert all(len(row) == len(header) for row in rows)
    assert len(fold_rows(folds, together, most_categories=1)[0]) == len(header) - 2
