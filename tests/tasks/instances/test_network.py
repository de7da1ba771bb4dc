from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from goodfit.tasks.instances.network import build_detector, is_detectron2
from goodfit.training.weights import put_weights, weights_of

BACKBONES = ["resnet50_v2", "resnet50", "mobilenet_v3", "mobilenet_v2"]


def _sample(height: int, width: int, objects: int, *, masks: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    boxes, labels, outlines = [], [], torch.zeros(objects, height, width, dtype=torch.bool)
    for number in range(objects):
        y, x = 5 + 9 * number, 3 + 11 * number
        boxes.append([x, y, x + 24, y + 30])
        labels.append(1 + number % 2)
        outlines[number, y : y + 30, x : x + 24] = True
    target = {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
    }
    return torch.rand(3, height, width), target | ({"masks": outlines} if masks else {})


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_contract_of_every_detector(make_plan, tmp_path, backbone, masks) -> None:
    torch.manual_seed(0)
    plan = make_plan(model={"backbone": backbone, "masks": masks, "normalisation": "group"})
    network = build_detector(plan)
    # Odd sizes, different ones in a batch, and a frame without any object.
    samples = [_sample(97, 70, 2, masks=masks), _sample(65, 71, 0, masks=masks)]
    losses = network([image for image, _ in samples], [target for _, target in samples])
    names = {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    assert losses.keys() == (names | {"loss_mask"} if masks else names)
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())

    network.eval()
    with torch.no_grad():
        found = network([image for image, _ in samples])
    for result, (image, _) in zip(found, samples, strict=True):
        assert result["boxes"].shape == (len(result["scores"]), 4)
        assert ("masks" in result) == masks
        if masks:
            assert result["masks"].shape == (len(result["scores"]), 1, 28, 28)
        height, width = image.shape[1:]
        assert (result["boxes"] <= torch.tensor([width, height, width, height])).all()

    weights = {name: tensor.clone() for name, tensor in weights_of(network).items()}
    if backbone.startswith("mobilenet"):  # 170 MB for the others
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, tmp_path / "weights.safetensors")
        weights = load_file(tmp_path / "weights.safetensors")
    with torch.no_grad():
        for tensor in weights_of(network).values():
            tensor.zero_()
        put_weights(network, weights, "test")
        again = network([image for image, _ in samples])
    for result, same in zip(found, again, strict=True):
        for name in result:
            torch.testing.assert_close(same[name], result[name], rtol=0, atol=0)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_only_empty_frames_train_too(make_plan, precision) -> None:
    network = build_detector(make_plan())
    image, target = _sample(64, 64, 0, masks=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        losses = network([image], [target])
    assert float(losses["loss_mask"].detach()) == 0
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_bfloat16_keeps_coordinates_and_losses_in_float32(make_plan) -> None:
    torch.manual_seed(0)
    network = build_detector(make_plan())
    sample = _sample(96, 96, 2, masks=True)
    seen: dict[str, torch.dtype] = {}
    network.get_submodule("rpn.head.conv").register_forward_hook(lambda m, i, o: seen.update(rpn=o.dtype))
    network.get_submodule("roi_heads.box_head.fc6").register_forward_hook(lambda m, i, o: seen.update(box=o.dtype))
    network.get_submodule("roi_heads.box_predictor").register_forward_hook(lambda m, i, o: seen.update(out=o[1].dtype))
    torch.manual_seed(2)
    with torch.autocast("cpu", torch.bfloat16):
        losses = network([sample[0]], [sample[1]])
    assert seen == {"rpn": torch.bfloat16, "box": torch.bfloat16, "out": torch.float32}
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    torch.manual_seed(2)
    exact = network([sample[0]], [sample[1]])
    assert sum(losses.values()).item() == pytest.approx(sum(exact.values()).item(), rel=0.05)
    network.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        (found,) = network([sample[0]])
    assert found["boxes"].dtype == torch.float32


@pytest.mark.parametrize("stages", [0, 2, 5])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_frozen_stages_get_no_gradient(make_plan, backbone, stages) -> None:
    network = build_detector(make_plan(model={"backbone": backbone, "frozen_stages": stages}))
    body = network.get_submodule("backbone.body")
    frozen = [not any(p.requires_grad for p in module.parameters()) for _, module in _with_weights(body)]
    # All frozen layers come before all others.
    assert frozen == sorted(frozen, reverse=True)
    assert any(frozen) == (stages > 0)
    assert all(frozen) == (stages == 5)
    assert all(p.requires_grad for p in network.get_submodule("backbone.fpn").parameters())


def _with_weights(module: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, child) for name, child in module.named_children() if any(True for _ in child.parameters())]


def test_batch_norm_learns_and_frozen_batch_norm_does_not(make_plan) -> None:
    sample = _sample(64, 64, 1, masks=True)
    for kind, moves in (("batch", True), ("frozen_batch", False)):
        network = build_detector(make_plan(model={"normalisation": kind}))
        before = {name: b.clone() for name, b in network.named_buffers() if name.endswith("running_mean")}
        assert before
        network([sample[0]] * 2, [sample[1]] * 2)
        moved = [not torch.equal(b, before[name]) for name, b in network.named_buffers() if name in before]
        assert all(moved) if moves else not any(moved)


def test_detectron2_weights_bring_their_own_details(make_plan) -> None:
    assert is_detectron2("x/model_final_f10217.pkl")
    plan = make_plan(model={"backbone": "resnet50", "normalisation": "frozen_batch", "weights": "model.pkl"})
    network = build_detector(plan)
    for stage in ("layer2", "layer3", "layer4"):
        block = network.get_submodule(f"backbone.body.{stage}.0")
        assert block.get_submodule("conv1").stride == (2, 2)
        assert block.get_submodule("conv2").stride == (1, 1)
    assert network.get_submodule("roi_heads.box_roi_pool").aligned
    assert not network.get_submodule("rpn.anchor_generator").rounded


@pytest.mark.parametrize(("backbone", "limit"), [("mobilenet_v2", 9e6), ("mobilenet_v3", 10e6)])
def test_small_backbones_stay_small(make_plan, backbone, limit) -> None:
    network = build_detector(make_plan(model={"backbone": backbone}))
    assert sum(p.numel() for p in network.parameters()) < limit


def test_a_detector_overfits_one_image(make_plan) -> None:
    torch.manual_seed(0)
    plan = make_plan(model={"regions_per_image": 32})
    network = build_detector(plan)
    image = torch.rand(3, 96, 96) * 0.2
    image[:, 20:60, 30:70] = torch.tensor([0.9, 0.2, 0.1])[:, None, None]
    mask = torch.zeros(1, 96, 96, dtype=torch.bool)
    mask[0, 20:60, 30:70] = True
    target = {"boxes": torch.tensor([[30.0, 20, 70, 60]]), "labels": torch.tensor([2]), "masks": mask}
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    totals = []
    for _ in range(45):
        total = sum(network([image], [target]).values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert sum(totals[-5:]) / 5 < 0.25 * totals[0]
    network.eval()
    with torch.no_grad():
        (found,) = network([image])
    assert found["scores"][0] > 0.5
    assert int(found["labels"][0]) == 2
    torch.testing.assert_close(found["boxes"][0], target["boxes"][0], rtol=0, atol=6)
    assert float((found["masks"][0] > 0.5).float().mean()) > 0.9
