from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from goodfit.data.instances.masks import decode_mask
from goodfit.data.instances.model import Instance
from goodfit.preprocessing.frames import resize, target_size
from goodfit.tasks.instances.inference import detect, detect_resized, shrink
from goodfit.tasks.instances.network import build_detector
from goodfit.tasks.instances.novelty import NoveltyModel

CPU = torch.device("cpu")


class FindsTheBright(nn.Module):
    """Stands for a detector: one instance, the bright rectangle of each image; remembers what it was given."""

    def __init__(self, *, masks: bool) -> None:
        super().__init__()
        self.masks = masks
        self.shapes: list[tuple[int, int]] = []

    def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        results = []
        for image in images:
            assert image.dtype == torch.float32
            assert float(image.max()) <= 1
            self.shapes.append((image.shape[-2], image.shape[-1]))
            bright = image[0] > 0.5
            ys, xs = bright.any(1).nonzero()[:, 0], bright.any(0).nonzero()[:, 0]
            found = {
                "boxes": torch.tensor([[xs[0], ys[0], xs[-1] + 1, ys[-1] + 1]]).float(),
                "scores": torch.tensor([0.9]),
                "labels": torch.tensor([2]),
            }
            results.append(found | ({"masks": torch.ones(1, 1, 28, 28)} if self.masks else {}))
        return results


@pytest.mark.parametrize("masks", [True, False])
def test_results_are_in_the_pixels_of_each_original(make_plan, masks) -> None:
    plan = make_plan(model={"image_min_size": 96, "image_max_size": 128, "masks": masks})
    images = []
    for height, width in ((200, 150), (64, 64), (50, 300)):
        image = np.zeros((height, width, 3), dtype=np.uint8)
        image[height // 4 : height // 2, width // 3 : width // 2] = 255
        images.append(image)
    network = FindsTheBright(masks=masks)
    found = detect(network, images, plan, CPU)
    assert network.shapes == [target_size(*image.shape[:2], 96, 128) for image in images]
    for detection, image, seen in zip(found, images, network.shapes, strict=True):
        height, width = image.shape[:2]
        expected = np.array([width // 3, height // 4, width // 2, height // 2])
        tolerance = 1.01 * max(height / seen[0], width / seen[1])
        assert np.abs(detection.boxes[0] - expected).max() <= tolerance
        assert detection.boxes.dtype == np.float32
        assert detection.categories.tolist() == [2]
        if masks:
            assert detection.masks is not None
            assert detection.masks[0]["size"] == [height, width]
            mask = decode_mask(Instance(1, (0, 0, 1, 1), detection.masks[0], 1.0), height, width)
            truth = image[..., 0] > 0
            assert (mask & truth).sum() / (mask | truth).sum() > 0.8
        else:
            assert detection.masks is None


def test_a_real_detector_gives_valid_detections(make_plan, world) -> None:
    torch.manual_seed(0)
    frames = [world.frame("a", 97, 131), world.frame("b", 60, 44)]
    for precision in ("float32", "bfloat16"):
        plan = make_plan(model={"score_threshold": 0.0}, training={"precision": precision})
        network = build_detector(plan).eval()
        found = detect(network, [world.images[frame.name] for frame in frames], plan, CPU)
        for detection, frame in zip(found, frames, strict=True):
            assert len(detection) == plan.model.detections_per_image
            assert (np.diff(detection.scores) <= 0).all()
            assert set(detection.categories.tolist()) <= {1, 2}
            assert len(detection.masks) == len(detection)
            assert (detection.boxes >= 0).all()
            assert (detection.boxes <= np.array([frame.width, frame.height] * 2) + 1e-3).all()


def test_nothing_to_do(make_plan) -> None:
    assert detect_resized(FindsTheBright(masks=True), [], [], make_plan(), CPU) == []


@pytest.mark.parametrize("size", [(480, 640), (500, 333), (96, 128), (50, 60)])
def test_images_are_resized_as_the_stored_frames_were(make_plan, size) -> None:
    plan = make_plan(model={"image_min_size": 96, "image_max_size": 128})
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (size[0] // 8 + 1, size[1] // 8 + 1, 3))
    image = np.repeat(np.repeat(coarse, 8, 0), 8, 1)[: size[0], : size[1]].astype(np.uint8)
    seen = shrink(image, plan).permute(1, 2, 0).numpy()
    stored = resize(image, target_size(*size, 96, 128))
    assert seen.shape == stored.shape
    apart = np.abs(seen.astype(int) - stored)
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.01


def test_images_that_may_not_be_written_to_are_no_problem(make_plan) -> None:
    image = np.zeros((96, 128, 3), np.uint8)
    image.flags.writeable = False
    assert shrink(image, make_plan()).shape == (3, 96, 128)


def test_distances_are_measured_on_the_way_and_change_nothing(make_plan, world) -> None:
    torch.manual_seed(0)
    plan = make_plan()
    network = build_detector(plan).eval()
    for name in "ab":
        world.frame(name)
    images = [world.images["a"], np.full((60, 44, 3), 200, np.uint8), world.images["b"]]
    features = np.random.default_rng(0).normal(size=(20, 512))
    model = NoveltyModel.fit(features, ["one"] * 20)
    found, without = detect(network, images, plan, CPU, model), detect(network, images, plan, CPU)
    assert all(one.distance is None for one in without)
    for one, other in zip(found, without, strict=True):
        assert np.array_equal(one.boxes, other.boxes)
    alone = [detect(network, [image], plan, CPU, model)[0].distance for image in images]
    # What lies beyond a smaller image is left out, but for group norm, which sees the whole batch's rectangle.
    assert [one.distance for one in found] == pytest.approx(alone, rel=0.1)


def test_masks_may_be_pasted_later(make_plan) -> None:
    plan = make_plan(model={"image_min_size": 96, "image_max_size": 128, "masks": True})
    image = torch.zeros(3, 96, 128, dtype=torch.uint8)
    image[:, 20:50, 30:70] = 255
    (later,) = detect_resized(FindsTheBright(masks=True), [image], [(192, 256)], plan, CPU, paste_later=True)
    (now,) = detect_resized(FindsTheBright(masks=True), [image], [(192, 256)], plan, CPU)
    assert isinstance(now.masks, list)
    assert later.masks is not None
    assert list(later.masks) == now.masks
