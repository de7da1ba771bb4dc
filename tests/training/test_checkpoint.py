"""Checkpoint files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from goodfit.errors import RunError
from goodfit.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    optimizer_tensors,
    put_optimizer_tensors,
    save_checkpoint,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_round_trip_is_exact(tmp_path: Path) -> None:
    weight = torch.randn(3, 4)
    state = {"step": 7, "loss": 0.1 + 0.2, "nested": {"none": None}}
    save_checkpoint(tmp_path / "c.safetensors", Checkpoint({"network": {"w": weight}}, state))
    loaded = load_checkpoint(tmp_path / "c.safetensors")
    assert torch.equal(loaded.groups["network"]["w"], weight)
    assert loaded.state == state
    assert [file.name for file in tmp_path.iterdir()] == ["c.safetensors"], "no temporary file stays"


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"not a checkpoint at all, but some text"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.safetensors").write_bytes(content)
    with pytest.raises(RunError, match=r"c\.safetensors: this checkpoint is damaged"):
        load_checkpoint(tmp_path / "c.safetensors")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, Checkpoint({"network": {"w": torch.zeros(100)}}, {}))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "c.safetensors")


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_the_optimizer_goes_on_as_if_nothing_had_happened(kind: str) -> None:
    def make() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = nn.Linear(4, 4)
        if kind == "adamw":
            return network, torch.optim.AdamW(network.parameters(), lr=0.1, fused=True)
        return network, torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, fused=True)

    def steps(network: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
        for step in range(first, last):
            network(torch.full((2, 4), float(step + 1))).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    whole, optimizer = make()
    steps(whole, optimizer, 0, 6)
    half, half_optimizer = make()
    steps(half, half_optimizer, 0, 3)
    resumed, resumed_optimizer = make()
    resumed.load_state_dict(half.state_dict())
    put_optimizer_tensors(resumed_optimizer, optimizer_tensors(half_optimizer))
    steps(resumed, resumed_optimizer, 3, 6)
    assert torch.equal(resumed.weight, whole.weight)
