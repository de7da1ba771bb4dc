from __future__ import annotations

import pytest
import torch
from torch import nn

from goodfit.tasks.instances.losses import detector_losses, fixed_losses, giving_losses, loss_parts, seeded
from goodfit.tasks.instances.network import build_detector
from goodfit.tasks.instances.sampling import InstanceFrames
from goodfit.training.task import TOTAL

CPU = torch.device("cpu")


@pytest.fixture
def batches(world, make_plan):
    frames = [world.frame(f"frame{number}", objects=number % 3) for number in range(3)]
    dataset = InstanceFrames(world.store, frames, masks=True, seed=0, batch_size=2)
    return [dataset.listed([0, 1]), dataset.listed([2])]


@pytest.fixture
def network(make_plan) -> nn.Module:
    torch.manual_seed(0)
    network = build_detector(make_plan(model={"normalisation": "batch"}))
    # Something that draws at random in training mode, in the way that users' networks may.
    network.get_submodule("roi_heads").box_head = nn.Sequential(
        network.get_submodule("roi_heads.box_head"), nn.Dropout()
    )
    return network


def _state(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("mode", [True, False])
def test_fixed_losses_leave_no_trace_and_repeat(network, batches, mode) -> None:
    network.train(mode)
    network.get_submodule("backbone").eval()
    modes = [module.training for module in network.modules()]
    weights, random_state = _state(network), torch.get_rng_state()
    first = fixed_losses(network, batches, 3, CPU)
    after = _state(network)
    assert all(torch.equal(after[name], tensor) for name, tensor in weights.items())
    assert all(p.grad is None for p in network.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert [module.training for module in network.modules()] == modes
    torch.rand(7)  # whatever the random state
    assert fixed_losses(network, batches, 3, CPU) == first
    assert first.keys() == {TOTAL, *loss_parts(masks=True)}
    assert first[TOTAL] == pytest.approx(sum(first[name] for name in loss_parts(masks=True)), rel=1e-5)


def test_naive_training_mode_would_move_statistics(network, batches) -> None:
    """The trap that fixed_losses avoids is real."""
    before = _state(network)
    network.train()
    with torch.no_grad():
        detector_losses(network, *batches[0].tensors(CPU))
    after = _state(network)
    assert any(not torch.equal(after[name], tensor) for name, tensor in before.items())


def test_fixed_losses_weigh_frames_alike(network, batches) -> None:
    both = fixed_losses(network, batches, 0, CPU)
    first = fixed_losses(network, batches[:1], 0, CPU)
    # The seed of a batch is that of its place.
    second = fixed_losses(network, batches[1:], 1, CPU)
    for name, value in both.items():
        assert value == pytest.approx((2 * first[name] + second[name]) / 3, rel=1e-5)


def test_the_seed_decides_which_regions_are_looked_at(make_plan, world) -> None:
    torch.manual_seed(0)
    network = build_detector(make_plan())
    frames = InstanceFrames(world.store, [world.frame("a")], masks=True, seed=0, batch_size=1)
    batches = [frames.listed([0])]
    assert fixed_losses(network, batches, 0, CPU) != fixed_losses(network, batches, 1, CPU)


def test_modes_come_back_after_an_error(network) -> None:
    network.eval()

    def fail() -> None:
        with giving_losses(network):
            assert network.training
            assert not network.get_submodule("backbone").training
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fail()
    assert not any(module.training for module in network.modules())


def test_seeded_repeats_and_restores() -> None:
    state = torch.get_rng_state()
    with seeded(5, CPU):
        first = torch.rand(3)
    with seeded(5, CPU):
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_parts_without_masks() -> None:
    assert loss_parts(masks=False) == ("rpn_objectness", "rpn_box", "class", "box")
    assert loss_parts(masks=True)[-1] == "mask"
