"""Several networks as one."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from goodfit.tasks.segmentation import ensemble as module
from goodfit.tasks.segmentation.ensemble import AveragedNetworks, NetworksInTurn, average
from goodfit.tasks.segmentation.inference import SlidingWindow

CPU = torch.device("cpu")


def networks(count: int) -> list[nn.Module]:
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        made.append(nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.Conv3d(4, 3, 1)).eval())
    return made


@pytest.fixture
def tiles() -> torch.Tensor:
    return torch.randn(2, 1, 6, 6, 6, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_both_give_the_mean_of_the_logits_and_leave_the_members_as_they_were(tiles: torch.Tensor) -> None:
    members = networks(3)
    members[1][1].running_mean += 1  # buffers belong to the weights
    expected = torch.stack([member(tiles) for member in members]).mean(0)
    for made in (AveragedNetworks(members), NetworksInTurn(networks(3), CPU)):
        if isinstance(made, NetworksInTurn):
            made._weights[1]["1.running_mean"] += 1
        torch.testing.assert_close(made.eval()(tiles), expected)
        torch.testing.assert_close(made(tiles), expected)


@torch.no_grad()
def test_the_mean_in_each_tile_is_the_mean_of_whole_volumes() -> None:
    members = networks(2)
    image = torch.randn(1, 11, 13, 12, generator=torch.Generator().manual_seed(1))
    window = SlidingWindow((6, 6, 6), mirror_axes=(0, 1, 2))
    whole = torch.stack([window.logits(member, image) for member in members]).mean(0)
    torch.testing.assert_close(window.logits(AveragedNetworks(members), image), whole, atol=1e-5, rtol=1e-5)


def test_one_network_stays_itself() -> None:
    (member,) = networks(1)
    assert average([member], CPU) is member
    assert isinstance(average(networks(2), CPU), AveragedNetworks)


def test_members_take_turns_where_a_gpu_has_no_room_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    size = sum(tensor.nbytes for member in networks(2) for tensor in module.weights_of(member).values())
    monkeypatch.setattr(nn.Module, "to", lambda self, *_, **__: self)
    gpu = torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2 * size, 10**12))
    assert isinstance(average(networks(2), gpu), AveragedNetworks)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2 * size - 2, 10**12))
    assert isinstance(average(networks(2), gpu), NetworksInTurn)


@torch.no_grad()
def test_threads_do_not_mix_the_members_that_take_turns(tiles: torch.Tensor) -> None:
    made = NetworksInTurn(networks(3), CPU).eval()
    expected = made(tiles)
    found: list[torch.Tensor] = []

    def call() -> None:
        with torch.no_grad():
            found.extend(made(tiles) for _ in range(5))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert all(torch.equal(one, expected) for one in found)
