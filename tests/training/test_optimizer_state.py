"""What optimizers remember, in and out of a checkpoint."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from goodfit.errors import RunError
from goodfit.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from goodfit.training.optimizer_state import optimizer_numbers, optimizer_tensors, put_optimizer_state

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def optimizer_of(kind: str, network: nn.Module) -> torch.optim.Optimizer:
    if kind == "adamw":
        return torch.optim.AdamW(network.parameters(), lr=0.1, fused=True)
    return torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, fused=True)


def take(network: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    """Train a linear network."""
    for step in range(first, last):
        network(torch.full((2, 4), float(step + 1))).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_the_optimizer_goes_on_as_if_nothing_had_happened(kind: str) -> None:
    def make() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = nn.Linear(4, 4)
        return network, optimizer_of(kind, network)

    whole, optimizer = make()
    take(whole, optimizer, 0, 6)
    half, half_optimizer = make()
    take(half, half_optimizer, 0, 3)
    resumed, resumed_optimizer = make()
    resumed.load_state_dict(half.state_dict())
    put_optimizer_state(resumed_optimizer, optimizer_tensors(half_optimizer), optimizer_numbers(half_optimizer))
    take(resumed, resumed_optimizer, 3, 6)
    assert torch.equal(resumed.weight, whole.weight)


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_momenta_lie_in_memory_as_their_weights_do(kind: str, tmp_path: Path) -> None:
    def make() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)
        return network, optimizer_of(kind, network)

    def steps(network: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
        for step in range(first, last):
            torch.manual_seed(step)
            network(torch.randn(2, 4, 6, 6)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    whole, optimizer = make()
    steps(whole, optimizer, 0, 4)
    half, half_optimizer = make()
    steps(half, half_optimizer, 0, 2)
    save_checkpoint(tmp_path / "c", Checkpoint({"optimizer": optimizer_tensors(half_optimizer)}, {}))
    resumed, resumed_optimizer = make()
    resumed.load_state_dict(half.state_dict())
    put_optimizer_state(resumed_optimizer, load_checkpoint(tmp_path / "c").groups["optimizer"])
    steps(resumed, resumed_optimizer, 2, 4)
    assert torch.equal(resumed.weight, whole.weight)


class Counting(torch.optim.Optimizer):
    """A user's own: it counts in plain numbers, in the state of each weight and in its group."""

    def __init__(self, parameters: Iterable[torch.Tensor], keeps: Any = 0.5) -> None:
        super().__init__(parameters, {"lr": 0.1, "reach": 1.0, "named": "group"})
        self.keeps = keeps

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            group["reach"] *= 0.9
            for weight in group["params"]:
                state = self.state[weight]
                state["step"] = state.get("step", 0) + 1
                state["kept"] = self.keeps
                weight.add_(weight.grad, alpha=-group["lr"] * group["reach"] / state["step"])


def test_numbers_of_a_users_optimizer_go_on_too() -> None:
    def make() -> tuple[nn.Linear, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = nn.Linear(4, 4)
        return network, Counting(network.parameters())

    whole, optimizer = make()
    take(whole, optimizer, 0, 6)
    half, half_optimizer = make()
    take(half, half_optimizer, 0, 3)
    assert optimizer_tensors(half_optimizer) == {}
    numbers = json.loads(json.dumps(optimizer_numbers(half_optimizer)))
    assert numbers["state"] == {"0/step": 3, "0/kept": 0.5, "1/step": 3, "1/kept": 0.5}
    assert numbers["groups"] == [{"lr": 0.1, "reach": pytest.approx(0.9**3)}]
    resumed, resumed_optimizer = make()
    resumed.load_state_dict(half.state_dict())
    put_optimizer_state(resumed_optimizer, {}, numbers)
    take(resumed, resumed_optimizer, 3, 6)
    assert torch.equal(resumed.weight, whole.weight)
    put_optimizer_state(make()[1], {})  # a checkpoint from before numbers were kept


def test_what_cannot_be_kept_is_named_before_it_is_lost() -> None:
    network = nn.Linear(2, 2)
    optimizer = Counting(network.parameters(), keeps=[1, 2])
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    with pytest.raises(RunError, match="Counting keeps kept as list, which a checkpoint cannot hold"):
        optimizer_numbers(optimizer)
