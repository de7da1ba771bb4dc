from __future__ import annotations

import numpy as np
import pytest
import torch

from goodfit.tasks.instances.candidates import detect_at
from goodfit.tasks.instances.inference import detect_resized
from goodfit.tasks.instances.network import build_detector

CPU = torch.device("cpu")


@pytest.mark.parametrize("masks", [True, False])
def test_each_threshold_gives_what_the_network_gives_with_it(make_plan, world, masks) -> None:
    model = {"masks": masks, "detections_per_image": 200, "score_threshold": 0.01, "nms_threshold": 0.45}
    plan = make_plan(model={**model, "rpn_proposals_test": 60, "rpn_nms_threshold": 0.95})
    torch.manual_seed(0)
    network = build_detector(plan).eval()
    names = ["a", "b", "c"]
    for name in names:
        world.frame(name)
    images = [torch.from_numpy(world.images[name]).permute(2, 0, 1) for name in names]
    shapes = [(96, 128), (192, 256), (48, 64)]
    thresholds = (0.2, 0.5, 0.8)
    found = detect_at(network, images, shapes, plan, CPU, thresholds)
    assert network.roi_heads.nms_thresh == 0.45
    counts = {threshold: sum(len(one[threshold]) for one in found) for threshold in thresholds}
    assert counts[0.2] < counts[0.5] < counts[0.8], "otherwise the test tells nothing"
    for threshold in thresholds:
        network.roi_heads.nms_thresh = threshold
        for one, expected in zip(found, detect_resized(network, images, shapes, plan, CPU), strict=True):
            assert np.array_equal(one[threshold].boxes, expected.boxes)
            assert np.array_equal(one[threshold].scores, expected.scores)
            assert np.array_equal(one[threshold].categories, expected.categories)
            assert (one[threshold].masks is None) == (not masks)
            if masks:
                areas = [[mask["counts"] for mask in detection.masks] for detection in (one[threshold], expected)]
                same = sum(first == second for first, second in zip(*areas, strict=True))
                assert same >= 0.9 * len(areas[0]), "sums of another batch may round differently at a mask's edge"


def test_the_network_is_as_before_after_an_error(make_plan, world) -> None:
    plan = make_plan()
    network = build_detector(plan).eval()
    world.frame("a")
    image = torch.from_numpy(world.images["a"]).permute(2, 0, 1)

    def fail(*_: object) -> None:
        raise RuntimeError("no memory")

    network.roi_heads.postprocess_detections = fail
    with pytest.raises(RuntimeError, match="no memory"):
        detect_at(network, [image], [(96, 128)], plan, CPU, (0.3,))
    assert network.roi_heads.nms_thresh == plan.model.nms_threshold
