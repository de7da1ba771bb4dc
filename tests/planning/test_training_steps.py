"""The traced steps against real ones, as torch's allocator sees them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from goodfit.planning.step_trace import record, trace_peaks
from goodfit.planning.training_steps import TrainingSteps
from goodfit.training.device import emulates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.planning.memory import Precision
    from goodfit.planning.plan import Configuration

    Unet = Callable[..., Configuration]


def steps_of(configuration: Configuration, precision: Precision = "float32", *, ema: bool = True) -> TrainingSteps:
    return TrainingSteps(configuration.model_dump_json(), 1, 3, "adamw", precision, ema)


HALF = pytest.mark.skipif(
    emulates("bfloat16", torch.device("cpu")) is not None, reason="oneDNN has bfloat16 arithmetic for some CPUs only"
)


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=HALF)])
@pytest.mark.parametrize(("dims", "residual"), [(3, False), (2, True)])
def test_the_trace_is_the_allocators_peak_in_real_steps(
    small_unet: Unet, dims: int, residual: bool, precision: Precision, tmp_path: Path
) -> None:
    edge = 64 if dims == 2 else 24
    steps = steps_of(small_unet(dims, (16, 32), residual=residual, edge=edge), precision)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        steps.take(3)
    profiler.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    measured = max(event["args"]["Total Allocated"] for event in events if event.get("name") == "[memory]")
    assert record(steps.take, 3, torch.get_num_threads()).peak() == pytest.approx(measured, rel=0.1)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_lines_hold_far_beyond_the_traced_batches(small_unet: Unet, dims: int) -> None:
    steps = steps_of(small_unet(dims, (32, 64) if dims == 2 else (8, 16, 32)))
    lines = trace_peaks(steps.take, 1)
    for batch in (1, 40):
        predicted = max(fixed + each * batch for fixed, each in lines)
        assert predicted == pytest.approx(record(steps.take, batch, 1).peak(), rel=0.02)


def test_the_global_random_state_is_left_alone(small_unet: Unet) -> None:
    before = torch.get_rng_state()
    trace_peaks(steps_of(small_unet()).take, 1)
    assert torch.equal(torch.get_rng_state(), before)
