from __future__ import annotations

import math

import pytest
import torch

from goodfit.tasks.instances.losses import loss_parts
from goodfit.tasks.instances.task import InstanceTask, spread_over_groups
from goodfit.training.micro_batches import gradients
from goodfit.training.task import TOTAL

CPU = torch.device("cpu")


def _task(world, plan, **options) -> InstanceTask:
    masks = plan.model.masks
    train = [world.frame(f"t{n}", objects=n % 3, group=f"video{n // 2}", masks=masks) for n in range(6)]
    validation = [world.frame(f"v{n}", objects=1 + n % 2, group=f"other{n // 3}", masks=masks) for n in range(6)]
    return InstanceTask(plan, world.store, train, validation, CPU, 0, **options)


def _weights(network) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_loss_is_a_pure_function_of_the_step(world, make_plan) -> None:
    plan = make_plan(batch_size=2, training={"seed": 4})
    first, second = _task(world, plan), _task(world, plan)
    state = torch.get_rng_state()
    totals = []
    for task in (first, second):
        task.network.train()
        (batch,) = task.batches(3, 4)
        losses = task.loss(task.network, batch, 3)
        assert losses.total.dtype == torch.float32
        assert tuple(losses.parts) != ()
        assert set(losses.parts) == set(task.loss_parts)
        assert not any(part.requires_grad for part in losses.parts.values())
        assert losses.total.item() == pytest.approx(sum(losses.parts.values()).item(), rel=1e-5)
        totals.append(losses.total.item())
        torch.rand(5)
        torch.set_rng_state(state)
    assert totals[0] == totals[1]


def test_gradients_in_parts(world, make_plan) -> None:
    task = _task(world, make_plan(batch_size=2))
    task.network.train()
    (batch,) = task.batches(0, 1)
    values = gradients(task, batch, 0, 2)
    assert values.keys() == {TOTAL, *task.loss_parts}
    assert all(p.grad is not None for p in task.network.parameters())


@pytest.mark.parametrize("subset", ["train", "validation"])
def test_fixed_loss_repeats_and_leaves_no_trace(world, make_plan, subset) -> None:
    task = _task(world, make_plan(batch_size=4, model={"normalisation": "batch"}, training={"precision": "bfloat16"}))
    task.network.train()
    before, state = _weights(task.network), torch.get_rng_state()
    values = task.fixed_loss(task.network, subset)
    assert values.keys() == {TOTAL, *loss_parts(masks=True)}
    assert all(torch.equal(tensor, before[name]) for name, tensor in task.network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert task.fixed_loss(task.network, subset) == values


@pytest.mark.parametrize("masks", [True, False])
def test_validation_fills_the_columns_and_asks_between_batches(world, make_plan, masks) -> None:
    plan = make_plan(batch_size=2, model={"masks": masks}, data={"has_masks": masks})
    task = _task(world, plan)
    task.network.eval()
    asked = []
    result = task.validate(task.network, 5, lambda: asked.append(1))
    assert len(asked) == 3
    assert result.cases == 5
    assert list(result.metrics) == list(task.metric_columns)
    assert ("val_box_ap" in result.metrics) == masks
    assert next(iter(result.metrics)) == "val_ap"
    assert {"val_ap_box", "val_ap_ball"} <= result.metrics.keys()
    assert all(math.isnan(value) or 0 <= value <= 1 for value in result.metrics.values())
    assert task.validation_cases == 6


def test_validation_leaves_when_told_to(world, make_plan) -> None:
    task = _task(world, make_plan())
    task.network.eval()

    def leave() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        task.validate(task.network, 6, leave)


def test_weights_decide_what_is_drawn(world, make_plan) -> None:
    task = _task(world, make_plan(batch_size=2), weights=[0, 1, 0, 1, 0, 0])
    drawn = {case for batch in task.batches(0, 4) for case in batch.cases}
    assert drawn == {"t1", "t3"}


def test_the_first_frames_come_from_all_videos(world) -> None:
    frames = [world.frame(f"{group}{n}", group=group) for group in "abc" for n in range(4)]
    order = spread_over_groups(frames, 0)
    assert sorted(frame.name for frame in order) == sorted(frame.name for frame in frames)
    for start in range(0, 12, 3):
        assert {frame.group for frame in order[start : start + 3]} == {"a", "b", "c"}
    assert order == spread_over_groups(frames, 0)
    assert order != spread_over_groups(frames, 1)


def test_videos_of_different_lengths(world) -> None:
    frames = [world.frame(f"a{n}", group="a") for n in range(5)] + [world.frame("b", group="b")]
    order = spread_over_groups(frames, 3)
    assert {frame.group for frame in order[:2]} == {"a", "b"}
    assert len(order) == 6


def test_a_few_steps_reduce_the_loss(world, make_plan) -> None:
    plan = make_plan(batch_size=2, augmentation={"scale_range": [1.0, 1.0], "colour": 0, "blur": 0, "grey": 0})
    task = _task(world, plan)
    task.network.train()
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=1e-3)
    before = task.fixed_loss(task.network, "train")[TOTAL]
    for step, batch in enumerate(task.batches(0, 15)):
        optimizer.zero_grad()
        task.loss(task.network, batch, step).total.backward()
        optimizer.step()
    assert task.fixed_loss(task.network, "train")[TOTAL] < 0.8 * before
