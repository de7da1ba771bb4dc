"""Gradients of a batch in one piece and in several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from goodfit.errors import ResourceError
from goodfit.training.micro_batches import gradients, gradients_within_memory, seconds_within_memory
from goodfit.training.task import TOTAL, Losses


@dataclass(frozen=True)
class Numbers:
    values: Tensor
    cases: tuple[str, ...] = ("a",)

    def __len__(self) -> int:
        return len(self.values)

    def part(self, start: int, stop: int) -> Numbers:
        return Numbers(self.values[start:stop])


class Squares:
    """Fits in pieces of at most ``fits`` samples."""

    def __init__(self, fits: int = 1000) -> None:
        self.network = nn.Linear(3, 1).double()
        with torch.no_grad():
            for parameter in self.network.parameters():
                parameter.fill_(0.5)
        self.fits = fits
        self.sizes: list[int] = []

    def loss(self, network: nn.Module, batch: Numbers, step: int) -> Losses:
        self.sizes.append(len(batch))
        if len(batch) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        total = network(batch.values).square().mean()
        return Losses(total, {"third": total.detach() / 3})


@given(size=st.integers(1, 9), parts=st.integers(1, 9))
def test_pieces_add_up_to_the_whole(size: int, parts: int) -> None:
    batch = Numbers(torch.arange(3.0 * size, dtype=torch.float64).reshape(size, 3))
    whole, cut = Squares(), Squares()
    losses = gradients(whole, batch, 0, 1)  # type: ignore[arg-type,misc]
    pieces = gradients(cut, batch, 0, min(parts, size))  # type: ignore[arg-type,misc]
    assert sum(cut.sizes) == size
    assert pieces[TOTAL] == pytest.approx(losses[TOTAL])
    assert pieces["third"] == pytest.approx(losses[TOTAL] / 3)
    for one, other in zip(whole.network.parameters(), cut.network.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def within(task: Any, parts: int = 1) -> tuple[dict[str, float], int]:
    optimizer = torch.optim.SGD(task.network.parameters())
    return gradients_within_memory(task, optimizer, Numbers(torch.ones(8, 3).double()), 5, parts)  # type: ignore[misc]


def test_a_full_memory_halves_the_pieces_until_they_fit(caplog: pytest.LogCaptureFixture) -> None:
    task = Squares(fits=3)
    _, parts = within(task)
    assert parts == 4
    assert task.sizes == [8, 4, 2, 2, 2, 2]
    assert "step 5: the memory is too small for 8 samples at once" in caplog.text
    reference = Squares()
    within(reference)
    for one, other in zip(task.network.parameters(), reference.network.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg="nothing of the failed attempts is left")


def test_a_single_sample_that_does_not_fit_ends_the_run() -> None:
    with pytest.raises(ResourceError, match="step 5: not even one sample fits"):
        within(Squares(fits=0))


def test_other_runtime_errors_pass() -> None:
    task = Squares()
    task.network = nn.Linear(4, 1).double()
    with pytest.raises(RuntimeError, match="mat1"):
        within(task)


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_what_does_not_fit_at_once_is_timed_in_parts(batch: int, fits: int) -> None:
    tried: list[int] = []

    def measure(size: int) -> float:
        tried.append(size)
        if size > fits:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return 0.5 * size

    assert seconds_within_memory(measure, batch, torch.device("cpu")) == pytest.approx(0.5 * batch)
    assert tried[0] == batch
    assert all(size > fits for size in tried[:-1])


def test_a_sample_that_cannot_be_timed_is_said_and_other_errors_are_their_own() -> None:
    def full(size: int) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\nmore")

    with pytest.raises(ResourceError, match=r"not even one sample fits into the memory \(CUDA out of memory"):
        seconds_within_memory(full, 3, torch.device("cpu"))

    def broken(size: int) -> float:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        seconds_within_memory(broken, 3, torch.device("cpu"))
