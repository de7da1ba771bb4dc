"""What this module leans on in torch is pinned here: when one of these fails, a new torch means something else."""

from __future__ import annotations

import gc

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from goodfit.planning.step_trace import _highest, record, trace_peaks


def linear_steps(batch: int) -> None:
    """Two steps of a linear layer: 4000 bytes of weights, 400 a sample of activations."""
    layer = torch.nn.Linear(100, 10, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9, fused=True)
    for _ in range(2):
        images = torch.zeros(batch, 100)
        layer(images).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        del images


def test_tracker_counts_what_is_alive_at_once() -> None:
    tracker = MemTracker()
    with FakeTensorMode(), tracker:
        first = torch.zeros(1000)
        second = first + 1  # 8000 bytes alive
        del first
        third = torch.cat([second, second])  # 4000 + 8000
        del second, third
    assert tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"] == 12000


def test_the_record_is_what_the_tracker_counts() -> None:
    """Views and in-place operators allocate nothing; a storage counts until its last view is gone."""

    def steps(batch: int) -> None:
        whole = torch.zeros(batch, 1000)
        part = whole[:, :10].add_(1)
        del whole
        again = part.clone()  # batch x 40 bytes beside batch x 4000
        del part
        torch.zeros(500, dtype=torch.int16)
        del again

    found = record(steps, 3, threads=1)
    assert found.sizes == (12000, 120, 1000)
    assert found.blocks == (0, 1, 0, 2, 1, 2), "releases that follow each other are sorted"
    assert list(found.totals()) == [12000, 12120, 120, 1120, 1000, 0]
    assert found.peak() == 12120


def test_weights_gradients_and_optimizer_state_are_seen() -> None:
    found = record(linear_steps, 2, threads=0)
    assert found.sizes.count(4000) >= 4, "weights, a gradient in each step, momentum"
    # In the second step's backward: weights, momentum and gradient; images; the loss and its gradient.
    assert found.peak() == 3 * 4000 + 800 + 8


def test_autocasts_copies_of_the_weights_are_seen() -> None:
    def steps(batch: int) -> None:
        layer = torch.nn.Linear(100, 100, bias=False)
        with torch.autocast("cpu", torch.bfloat16):
            layer(torch.zeros(batch, 100))

    assert 20000 in record(steps, 2, threads=0).sizes


def test_two_batches_give_every_batch() -> None:
    lines = trace_peaks(linear_steps, threads=0)
    for batch in (1, 7, 50):
        predicted = max(fixed + each * batch for fixed, each in lines)
        assert predicted == record(linear_steps, batch, threads=0).peak()


def test_another_moment_may_be_the_peak_of_a_larger_batch() -> None:
    def steps(batch: int) -> None:
        torch.zeros(10_000)
        torch.zeros(batch, 1000)

    assert trace_peaks(steps, threads=0) == ((40_000.0, 0.0), (0.0, 4000.0))


def test_lists_of_samples_still_give_a_line() -> None:
    def steps(batch: int) -> None:
        kept = [torch.zeros(100) for _ in range(batch)]
        torch.zeros(1000)
        del kept

    assert trace_peaks(steps, threads=0) == ((4000.0, 400.0),)


def test_scratch_memory_of_convolutions_counts_on_a_cpu_alone() -> None:
    def steps(batch: int) -> None:
        torch.nn.functional.conv3d(torch.zeros(batch, 16, 8, 8, 8), torch.zeros(32, 16, 3, 3, 3), padding=1)

    assert record(steps, 2, threads=1).peak() > record(steps, 2, threads=0).peak()


@pytest.mark.parametrize("thresholds", [(50, 10, 10), (700, 10, 10)])
def test_the_garbage_collector_does_not_matter(thresholds: tuple[int, int, int]) -> None:
    def steps(batch: int) -> None:
        for _ in range(100):
            cycle: list[object] = [torch.zeros(batch, 10)]
            cycle.append(cycle)

    before = gc.get_threshold()
    try:
        gc.set_threshold(*thresholds)
        assert record(steps, 2, threads=0).peak() == 100 * 80
    finally:
        gc.set_threshold(*before)
    assert gc.isenabled()


def test_tracing_computes_nothing_and_leaves_nothing_behind() -> None:
    def steps(batch: int) -> None:
        torch.zeros(batch, 2**28) + torch.randn(batch, 2**28)

    state, resize = torch.get_rng_state(), torch.UntypedStorage.resize_
    resident = psutil.Process().memory_info().rss
    assert record(steps, 16, threads=0).peak() == 3 * 16 * 2**30
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.UntypedStorage.resize_ is resize
    assert psutil.Process().memory_info().rss - resident < 2**28
    assert type(torch.zeros(1)) is torch.Tensor


SLOPES = st.dictionaries(
    st.integers(0, 1000).map(float), st.integers(-(10**6), 10**6).map(float), min_size=1, max_size=30
)


@given(SLOPES, st.integers(1, 10_000))
def test_the_highest_lines_are_as_high_as_all(slopes: dict[float, float], batch: int) -> None:
    lines = sorted(slopes.items())
    kept = list(_highest(lines))
    assert max(fixed + each * batch for fixed, each in kept) == max(fixed + each * batch for each, fixed in lines)
    assert len(kept) <= len(lines)
