"""The traced steps of a detector against real ones, with as many regions as there can be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from goodfit.planning.instances.plan import InstanceAugmentation, InstanceData, InstanceModel, InstancePlan
from goodfit.planning.instances.training_steps import MULTIPLE, DetectorSteps, fix_sizes, largest_frame
from goodfit.planning.step_trace import record, trace_peaks
from goodfit.tasks.instances.losses import detector_losses
from goodfit.tasks.instances.network import build_detector
from goodfit.training.ema import WeightAverage
from goodfit.training.optimizer import build_optimizer

if TYPE_CHECKING:
    from pathlib import Path

BATCH = 3


def plan_of(training: dict[str, Any] | None = None, **model: Any) -> InstancePlan:
    data = InstanceData(name="made", key="key", categories=["x", "y"], has_masks=True)
    small = {
        "backbone": "mobilenet_v2",
        "image_min_size": 96,
        "image_max_size": 128,
        "regions_per_image": 32,
        "detections_per_image": 10,
        "rpn_proposals_train": 60,
    }
    plan = InstancePlan(
        goodfit_version="0",
        memory=8e9,
        data=data,
        model=InstanceModel.model_validate({**small, **model}),
        augmentation=InstanceAugmentation(scale_range=[1.0, 1.0]),
        batch_size=BATCH,
    )
    return plan.model_copy(update={"training": plan.training.model_copy(update=training or {})})


def real_steps(plan: InstancePlan) -> None:
    """Two steps on noise, each frame as full of objects as the plan allows."""
    network = build_detector(plan).to(memory_format=torch.channels_last).train()
    optimizer, average = build_optimizer(network, plan.training), WeightAverage(network, plan.training.ema)
    height, width, objects = plan.model.image_min_size, plan.model.image_max_size, plan.model.detections_per_image

    def target() -> dict[str, torch.Tensor]:
        corners = torch.rand(objects, 2) * torch.tensor([width * 0.6, height * 0.6])
        masks = torch.zeros(objects, height, width, dtype=torch.bool)
        boxes = torch.cat((corners, corners + 16 + torch.rand(objects, 2) * 16), dim=1)
        return {"boxes": boxes, "labels": torch.ones(objects, dtype=torch.int64), "masks": masks}

    for step in range(2):
        frames = [torch.zeros(3, height, width, dtype=torch.uint8) for _ in range(BATCH)]
        images, targets = [frame.float() for frame in frames], [target() for _ in frames]
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.training.precision == "bfloat16"):
            total = detector_losses(network, images, targets).total
        del images, targets
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), plan.training.gradient_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(network, step + 1)
        del total, frames


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_trace_is_the_allocators_peak_in_real_steps(precision: str, tmp_path: Path) -> None:
    plan = plan_of({"precision": precision})
    with (
        torch.random.fork_rng(),
        profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler,
    ):
        torch.manual_seed(0)
        real_steps(plan)
    profiler.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    measured = max(event["args"]["Total Allocated"] for event in events if event.get("name") == "[memory]")
    found = record(DetectorSteps.of(plan, on_cpu=True).take, BATCH, torch.get_num_threads()).peak()
    assert found == pytest.approx(measured, rel=0.1)


def test_two_batches_give_the_others() -> None:
    """Nearly: with lists of frames only the peaks are known, and another moment may be the peak of a batch of one."""
    steps = DetectorSteps.of(plan_of(), on_cpu=True)
    lines = trace_peaks(steps.take, 1)
    for batch in (1, 11):
        predicted = max(fixed + each * batch for fixed, each in lines)
        assert predicted == pytest.approx(record(steps.take, batch, 1).peak(), rel=0.05)


def test_only_what_matters_is_kept_of_a_plan() -> None:
    plan = plan_of()
    same = plan.model_copy(
        update={
            "batch_size": 9,
            "memory": 3.0,
            "reasons": {"a": "b"},
            "predicted_tensors": None,
            "goodfit_version": "x",
        }
    )
    assert DetectorSteps.of(same, on_cpu=True) == DetectorSteps.of(plan, on_cpu=True)
    assert DetectorSteps.of(plan, on_cpu=False) != DetectorSteps.of(plan, on_cpu=True)
    assert DetectorSteps.of(plan_of(regions_per_image=33), on_cpu=True) != DetectorSteps.of(plan, on_cpu=True)


@pytest.mark.parametrize("scale", [[0.5, 0.8], [0.8, 1.0], [0.8, 1.25]])
def test_frames_count_at_their_largest_scale_padded(scale: list[float]) -> None:
    plan = plan_of().model_copy(update={"augmentation": InstanceAugmentation(scale_range=scale)})
    height, width = largest_frame(plan)
    assert (height % MULTIPLE, width % MULTIPLE) == (0, 0)
    factor = max(1.0, scale[1])
    assert 0 <= height - 96 * factor < MULTIPLE
    assert 0 <= width - 128 * factor < MULTIPLE


def test_values_decide_nothing_once_the_sizes_are_fixed() -> None:
    """The heads see as many regions of real tensors as of fake ones, whatever the network finds."""
    plan = plan_of()
    network = build_detector(plan).train()
    fix_sizes(network, plan, on_cpu=True)
    seen: list[tuple[int, ...]] = []
    network.roi_heads.box_head.register_forward_hook(lambda _module, given, _out: seen.append(tuple(given[0].shape)))
    network.roi_heads.mask_head.register_forward_hook(lambda _module, given, _out: seen.append(tuple(given[0].shape)))
    frames = [torch.rand(3, 96, 128) for _ in range(BATCH)]
    target = {
        "boxes": torch.tensor([[3.0, 4.0, 30.0, 40.0]]),
        "labels": torch.ones(1, dtype=torch.int64),
        "masks": torch.zeros(1, 96, 128, dtype=torch.bool),
    }
    batched, targets = network.transform(frames, [dict(target) for _ in frames])
    features = network.backbone(batched.tensors)
    proposals, first = network.rpn(batched, features, targets)
    _found, second = network.roi_heads(features, proposals, batched.image_sizes, targets)
    model = plan.model
    assert [len(one) for one in proposals] == [model.rpn_proposals_train] * BATCH
    positives = int(model.regions_per_image * model.region_positive_fraction)
    assert [shape[0] for shape in seen] == [BATCH * model.regions_per_image, BATCH * positives]
    for loss in (*first.values(), *second.values()):
        assert torch.isfinite(loss)


def test_the_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    record(DetectorSteps.of(plan_of(), on_cpu=True).take, 2, 1)
    assert torch.equal(torch.get_rng_state(), before)
