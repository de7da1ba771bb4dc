"""Detectron2's network, written from its description with made-up weights, beside ours with the converted ones."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch.nn import functional

from goodfit.errors import PlanError
from goodfit.interop.detectron2.weights import convert_detectron2, read_detectron2
from goodfit.planning.instances.plan import IMAGENET_MEAN, IMAGENET_STD, InstancePlan
from goodfit.tasks.instances.network import build_detector
from goodfit.tasks.instances.weights import load_weights
from goodfit.training.weights import weights_of

CATEGORIES = ["a", "b", "c"]
BLOCKS = {2: 3, 3: 4, 4: 6, 5: 3}
MEAN_BGR = torch.tensor([103.53, 116.28, 123.675])


def _made_up(anchors: int = 3) -> dict[str, np.ndarray]:
    """Weights of the names and shapes of R50-FPN Mask R-CNN in the model zoo."""
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}

    def add(name: str, *shape: int, bias: bool = True, spread: float | None = None) -> None:
        fan = int(np.prod(shape[1:]))
        arrays[f"{name}.weight"] = rng.normal(0, spread or (1.5 / fan) ** 0.5, shape).astype(np.float32)
        if bias:
            arrays[f"{name}.bias"] = rng.normal(0, 0.1, shape[0]).astype(np.float32)

    def add_normalised(name: str, *shape: int) -> None:
        add(name, *shape, bias=False)
        arrays[f"{name}.norm.weight"] = rng.uniform(0.6, 1.2, shape[0]).astype(np.float32)
        arrays[f"{name}.norm.bias"] = rng.normal(0, 0.1, shape[0]).astype(np.float32)
        arrays[f"{name}.norm.running_mean"] = rng.normal(0, 0.1, shape[0]).astype(np.float32)
        arrays[f"{name}.norm.running_var"] = rng.uniform(0.5, 2, shape[0]).astype(np.float32)

    up = "backbone.bottom_up."
    add_normalised(f"{up}stem.conv1", 64, 3, 7, 7)
    arrays[f"{up}stem.conv1.weight"] /= 60
    before = 64
    for stage, blocks in BLOCKS.items():
        inner, out = 64 * 2 ** (stage - 2), 256 * 2 ** (stage - 2)
        for block in range(blocks):
            name = f"{up}res{stage}.{block}."
            if block == 0:
                add_normalised(f"{name}shortcut", out, before, 1, 1)
            add_normalised(f"{name}conv1", inner, before, 1, 1)
            add_normalised(f"{name}conv2", inner, inner, 3, 3)
            add_normalised(f"{name}conv3", out, inner, 1, 1)
            before = out
        add(f"backbone.fpn_lateral{stage}", 256, out, 1, 1, spread=out**-0.5 / 4)
        add(f"backbone.fpn_output{stage}", 256, 256, 3, 3)
    head = "proposal_generator.rpn_head."
    add(f"{head}conv", 256, 256, 3, 3)
    add(f"{head}objectness_logits", anchors, 256, 1, 1)
    add(f"{head}anchor_deltas", 4 * anchors, 256, 1, 1, spread=0.01)
    add("roi_heads.box_head.fc1", 1024, 256 * 49)
    add("roi_heads.box_head.fc2", 1024, 1024)
    add("roi_heads.box_predictor.cls_score", len(CATEGORIES) + 1, 1024, spread=0.2)
    add("roi_heads.box_predictor.bbox_pred", 4 * len(CATEGORIES), 1024)
    for number in range(1, 5):
        add(f"roi_heads.mask_head.mask_fcn{number}", 256, 256, 3, 3)
    add("roi_heads.mask_head.deconv", 256, 256, 2, 2)
    add("roi_heads.mask_head.predictor", len(CATEGORIES), 256, 1, 1)
    for level in range(5):
        arrays[f"proposal_generator.anchor_generator.cell_anchors.{level}"] = np.zeros((anchors, 4), np.float32)
    return arrays


class Detectron2:
    """The forward pass as Detectron2 computes it, in plain functions."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.weights = {name: torch.from_numpy(array) for name, array in arrays.items()}

    def conv(self, x, name, **options):
        return functional.conv2d(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"), **options)

    def normalised(self, x, name, **options):
        x = self.conv(x, name, **options)
        norm = [self.weights[f"{name}.norm.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return functional.batch_norm(x, *norm, eps=1e-5)

    def maps(self, image_bgr_255):
        x = (image_bgr_255 - MEAN_BGR[:, None, None])[None]
        up = "backbone.bottom_up."
        x = functional.max_pool2d(self.normalised(x, f"{up}stem.conv1", stride=2, padding=3).relu(), 3, 2, 1)
        stages = {}
        for stage, blocks in BLOCKS.items():
            for block in range(blocks):
                name = f"{up}res{stage}.{block}."
                stride = 2 if block == 0 and stage > 2 else 1
                # STRIDE_IN_1X1: the model zoo's default
                y = self.normalised(x, f"{name}conv1", stride=stride).relu()
                y = self.normalised(y, f"{name}conv2", padding=1).relu()
                y = self.normalised(y, f"{name}conv3")
                x = (y + (self.normalised(x, f"{name}shortcut", stride=stride) if block == 0 else x)).relu()
            stages[stage] = x
        above, maps = None, {}
        for stage in (5, 4, 3, 2):
            lateral = self.conv(stages[stage], f"backbone.fpn_lateral{stage}")
            above = lateral if above is None else lateral + functional.interpolate(above, scale_factor=2.0)
            maps[str(stage - 2)] = self.conv(above, f"backbone.fpn_output{stage}", padding=1)
        return {name: maps[name] for name in "0123"} | {"pool": functional.max_pool2d(maps["3"], 1, 2)}

    def proposals(self, level):
        head = "proposal_generator.rpn_head."
        x = self.conv(level, f"{head}conv", padding=1).relu()
        return self.conv(x, f"{head}objectness_logits"), self.conv(x, f"{head}anchor_deltas")

    def boxes(self, pooled):
        x = pooled.flatten(1)
        for name in ("roi_heads.box_head.fc1", "roi_heads.box_head.fc2"):
            x = functional.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]).relu()
        head = "roi_heads.box_predictor."
        return [
            functional.linear(x, self.weights[f"{head}{name}.weight"], self.weights[f"{head}{name}.bias"])
            for name in ("cls_score", "bbox_pred")
        ]

    def masks(self, x):
        for number in range(1, 5):
            x = self.conv(x, f"roi_heads.mask_head.mask_fcn{number}", padding=1).relu()
        name = "roi_heads.mask_head.deconv"
        x = functional.conv_transpose2d(
            x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], stride=2
        ).relu()
        return self.conv(x, "roi_heads.mask_head.predictor")


def _plan(weights: str) -> InstancePlan:
    return InstancePlan.model_validate(
        {
            "goodfit_version": "0",
            "memory": 1e9,
            "data": {"name": "x", "key": "k", "categories": CATEGORIES, "has_masks": True},
            "model": {"backbone": "resnet50", "weights": weights, "normalisation": "frozen_batch"},
        }
    )


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return _made_up()


@pytest.fixture(scope="module")
def network(arrays, tmp_path_factory) -> torch.nn.Module:
    file = tmp_path_factory.mktemp("zoo") / "model_final.pkl"
    file.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))
    plan = _plan(str(file))
    network = build_detector(plan).eval()
    loaded = load_weights(network, plan)
    assert loaded.left == ()
    assert loaded.loaded == len(weights_of(network))
    return network


@pytest.fixture(scope="module")
def theirs(arrays) -> Detectron2:
    return Detectron2(arrays)


@torch.no_grad()
def test_maps_are_the_same(network, theirs) -> None:
    torch.manual_seed(0)
    image = torch.rand(3, 128, 160)
    expected = theirs.maps(image.flip(0) * 255)
    images, _ = network.get_submodule("transform")([image])
    maps = network.get_submodule("backbone")(images.tensors)
    assert list(maps) == list(expected)
    for name, level in expected.items():
        assert float(level.std()) > 0.05
        torch.testing.assert_close(maps[name], level, rtol=1e-3, atol=1e-3 * float(level.abs().max()))


@torch.no_grad()
def test_heads_are_the_same(network, theirs) -> None:
    torch.manual_seed(1)
    level, pooled, large = torch.randn(1, 256, 6, 7), torch.randn(5, 256, 7, 7), torch.randn(2, 256, 14, 14)
    objectness, deltas = network.get_submodule("rpn.head")([level])
    for own, expected in zip((objectness[0], deltas[0]), theirs.proposals(level), strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-4)
    scores, boxes = network.get_submodule("roi_heads.box_predictor")(
        network.get_submodule("roi_heads.box_head")(pooled)
    )
    their_scores, their_boxes = theirs.boxes(pooled)
    torch.testing.assert_close(scores[:, 1:], their_scores[:, :-1], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(scores[:, 0], their_scores[:, -1], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(boxes[:, 4:], their_boxes, rtol=1e-4, atol=1e-3)
    assert float(boxes[:, :4].abs().max()) == 0
    heads = network.get_submodule("roi_heads")
    masks = heads.get_submodule("mask_predictor")(heads.get_submodule("mask_head")(large))
    torch.testing.assert_close(masks[:, 1:], theirs.masks(large), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_whole_detector_runs(network) -> None:
    (found,) = network([torch.rand(3, 128, 128)])
    assert torch.isfinite(found["boxes"]).all()


def test_anchors_of_several_sizes_are_put_into_our_order() -> None:
    arrays = _made_up(anchors=6)
    head = "proposal_generator.rpn_head."
    # Detectron2: size by size, each with all ratios. The value tells size and ratio.
    arrays[f"{head}objectness_logits.bias"] = np.array([0, 1, 2, 10, 11, 12], np.float32)
    arrays[f"{head}anchor_deltas.bias"] = np.repeat(arrays[f"{head}objectness_logits.bias"], 4)
    converted = convert_detectron2(arrays, IMAGENET_STD, 3, "test")
    assert converted["rpn.head.cls_logits.bias"].tolist() == [0, 10, 1, 11, 2, 12]
    assert converted["rpn.head.bbox_pred.bias"].tolist() == [v for v in (0, 10, 1, 11, 2, 12) for _ in range(4)]


def test_our_mean_is_detectron2s() -> None:
    torch.testing.assert_close(255 * torch.tensor(IMAGENET_MEAN).flip(0), MEAN_BGR)


@pytest.mark.parametrize(
    ("name", "message"),
    [("roi_heads.box_head.conv1.weight", "R50-FPN model of Detectron2's has no"), ("stem", "first convolution")],
)
def test_other_architectures_are_refused(arrays, name, message) -> None:
    other = dict(arrays)
    if name == "stem":
        del other["backbone.bottom_up.stem.conv1.weight"]
    else:
        other[name] = np.zeros(3, np.float32)
    with pytest.raises(PlanError, match=message):
        convert_detectron2(other, IMAGENET_STD, 3, "model.pkl")


def test_other_numbers_of_ratios_are_refused(arrays) -> None:
    with pytest.raises(PlanError, match="2 ratios"):
        convert_detectron2(arrays, IMAGENET_STD, 2, "model.pkl")


def test_reading_and_converting_in_one(arrays, tmp_path) -> None:
    file = tmp_path / "model.pkl"
    small = {name: array for name, array in arrays.items() if "stem" in name}
    file.write_bytes(pickle.dumps({"model": small}, protocol=2))
    converted = read_detectron2(file, IMAGENET_STD, 3)
    assert converted.keys() == {
        "backbone.body.conv1.weight",
        *(f"backbone.body.bn1.{part}" for part in ("weight", "bias", "running_mean", "running_var")),
    }
