"""The scratch memory of operators against what torch's allocator sees of real ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from goodfit.planning.operator_scratch import scratch_of
from goodfit.training.device import emulates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BLOCKED = pytest.mark.skipif(
    not torch.cpu.get_capabilities().get("avx512_f"), reason="the sizes are those of oneDNN on a CPU with AVX-512"
)
HALF = pytest.mark.skipif(
    emulates("bfloat16", torch.device("cpu")) is not None,
    reason="the sizes are those of oneDNN on a CPU with bfloat16 arithmetic",
)


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """With one thread oneDNN takes other ways through small convolutions."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def peak_of(run: Callable[[], object], tmp_path: Path) -> int:
    """Most bytes that an operator takes beyond what there was."""
    run()  # the first call compiles kernels
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        run()
    profiler.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    total = most = 0
    for event in events:
        if event.get("name") == "[memory]":
            total += event["args"]["Bytes"]
            most = max(most, total)
    return most


def predicted(func: Any, args: list[Any], outputs: int) -> int:
    """The same from the events of ``scratch_of``, with the operator's outputs between those before and after."""
    alive: dict[str, int] = {}
    most = 0
    events = scratch_of(func, args, torch.get_num_threads())
    for after in (False, True):
        for event in events:
            if event.after == after and alive.pop(event.name, None) is None:
                alive[event.name] = event.size
            most = max(most, sum(alive.values()) + (outputs if after else 0))
    assert not alive
    return max(most, outputs)


def convolution(
    dims: int, channels: tuple[int, int], kernel: int, stride: int, dtype: torch.dtype, *, turned: bool
) -> Any:
    ins, outs = channels
    edge = (12 if dims == 3 else 48) if turned else (24 if dims == 3 else 96)
    x = torch.randn(2, ins, *[edge] * dims, dtype=dtype)
    weight = torch.randn(*((ins, outs) if turned else (outs, ins)), *[kernel] * dims, dtype=dtype)
    padding = [0 if turned else kernel // 2] * dims
    bias = torch.randn(outs, dtype=dtype)
    return [x, weight, bias, [stride] * dims, padding, [1] * dims, turned, [0] * dims, 1]


CASES = [
    pytest.param(3, (32, 32), 3, 1, False, id="3d"),
    pytest.param(2, (64, 32), 3, 1, False, id="2d"),
    pytest.param(3, (32, 64), 3, 2, False, id="strided"),
    pytest.param(3, (64, 32), 2, 2, True, id="transposed"),
    pytest.param(3, (32, 3), 1, 1, False, id="pointwise"),
    pytest.param(3, (1, 32), 3, 1, False, id="grey"),
    pytest.param(3, (20, 40), 3, 1, False, id="padded"),
]


@BLOCKED
@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=HALF)])
@pytest.mark.parametrize(("dims", "channels", "kernel", "stride", "turned"), CASES)
def test_convolutions(
    dims: int,
    channels: tuple[int, int],
    kernel: int,
    stride: int,
    turned: bool,
    dtype: torch.dtype,
    tmp_path: Path,
) -> None:
    args = convolution(dims, channels, kernel, stride, dtype, turned=turned)
    aten = torch.ops.aten
    output = torch.convolution(*args)
    forward = peak_of(lambda: torch.convolution(*args), tmp_path)
    assert predicted(aten.convolution.default, args, output.nbytes) == pytest.approx(forward, rel=0.15)
    x, weight, _bias, *rest = args
    wanted = channels[0] > 3  # an image wants no gradient
    backward_args = [output, x, weight, [channels[1]], *rest, [wanted, True, True]]
    backward = peak_of(lambda: aten.convolution_backward(*backward_args), tmp_path)
    expected = predicted(aten.convolution_backward.default, backward_args, wanted * x.nbytes + weight.nbytes)
    assert expected == pytest.approx(backward, rel=0.15)


@BLOCKED
def test_channels_last_needs_no_reordering(tmp_path: Path) -> None:
    args = convolution(2, (64, 32), 3, 1, torch.float32, turned=False)
    args[0] = args[0].contiguous(memory_format=torch.channels_last)
    assert scratch_of(torch.ops.aten.convolution.default, args, 1) == []
    assert peak_of(lambda: torch.convolution(*args), tmp_path) == pytest.approx(args[0].nbytes / 2, rel=0.1)


def test_sums_of_truth_values_count_in_whole_numbers(tmp_path: Path) -> None:
    members = torch.ones(2, 3, 10_000, dtype=torch.bool)
    events = scratch_of(torch.ops.aten.sum.dim_IntList, [members], 1)
    assert [event.size for event in events] == [480_000, 480_000]
    assert peak_of(lambda: members.sum(-1), tmp_path) == pytest.approx(480_000, rel=0.01)


def test_more_threads_take_more() -> None:
    args = convolution(3, (32, 32), 3, 1, torch.bfloat16, turned=False)
    x, weight, _bias, *rest = args
    backward = [torch.zeros_like(x), x, weight, [32], *rest, [True, True, True]]
    func = torch.ops.aten.convolution_backward.default
    sizes = [max(event.size for event in scratch_of(func, backward, threads)) for threads in (1, 2, 8, 16)]
    assert sizes == sorted(sizes)
    assert sizes[2] == sizes[3] > sizes[1] > sizes[0]


def test_most_operators_have_none() -> None:
    assert scratch_of(torch.ops.aten.add.Tensor, [torch.zeros(3), torch.zeros(3)], 2) == []
