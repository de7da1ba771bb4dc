from __future__ import annotations

import gc
import json
from typing import TYPE_CHECKING

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.profiler import ProfilerActivity, profile

from goodfit.errors import PlanError
from goodfit.planning import memory
from goodfit.planning.memory import (
    PROCESS_BASE,
    MemoryPrediction,
    available_memory,
    predict_training_memory,
)
from goodfit.planning.plan import Configuration, NetworkPlan
from goodfit.tasks.segmentation.network import build_network

if TYPE_CHECKING:
    from pathlib import Path

MIB = 2**20


def configuration(dims: int = 3, features: tuple[int, ...] = (8, 16, 32)) -> Configuration:
    stages = len(features)
    network = NetworkPlan(
        architecture="plain_unet",
        features=list(features),
        kernel_sizes=[[3] * dims] * stages,
        strides=[[1] * dims, *[[2] * dims] * (stages - 1)],
        encoder_blocks=[2] * stages,
        decoder_blocks=[2] * (stages - 1),
    )
    return Configuration(
        name="2d" if dims == 2 else "3d_fullres",
        spacing=[1.0] * 3,
        median_shape=[24.0] * 3,
        patch_size=[24] * dims,
        batch_size=3,
        batch_dice=False,
        network=network,
    )


def predict(
    what: Configuration,
    *,
    optimizer: memory.Optimizer = "sgd",
    precision: memory.Precision = "float32",
    ema: bool = False,
    batch_size: int | None = None,
) -> MemoryPrediction:
    return predict_training_memory(what, 1, 3, optimizer=optimizer, precision=precision, ema=ema, batch_size=batch_size)


def weight_bytes(what: Configuration) -> int:
    network = build_network(what.network, 1, 3, what.dims)
    return sum(parameter.nbytes for parameter in network.parameters())


def settings_of(what: Configuration, precision: memory.Precision) -> memory._Settings:
    return memory._Settings(
        network=what.network.model_dump_json(exclude={"reasons"}),
        patch_size=tuple(what.patch_size),
        batch_dice=what.batch_dice,
        channels=1,
        outputs=3,
        optimizer="sgd",
        precision=precision,
        ema=True,
    )


def test_tracker_counts_what_is_alive_at_once() -> None:
    tracker = MemTracker()
    with FakeTensorMode(), tracker:
        first = torch.zeros(1000)
        second = first + 1  # 8000 bytes alive
        del first
        third = torch.cat([second, second])  # 4000 + 8000
        del second, third
    assert tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"] == 12000


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_trace_agrees_with_the_allocator_in_real_steps(precision: memory.Precision, tmp_path: Path) -> None:
    settings = settings_of(configuration(), precision)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        memory._train(settings, 3, before_step=lambda: None)
    profiler.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    measured = max(event["args"]["Total Allocated"] for event in events if event.get("name") == "[memory]")
    assert memory._trace_peak(settings, 3) == pytest.approx(measured, rel=0.15)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_line_holds_far_beyond_the_traced_batches(dims: int) -> None:
    what = configuration(dims, (32, 64) if dims == 2 else (8, 16, 32))
    traced = memory._trace_peak(settings_of(what, "float32"), 40)
    assert predict(what, ema=True, batch_size=40).tensors == pytest.approx(traced, rel=0.02)


def test_fixed_part_holds_weights_average_and_optimizer_state() -> None:
    what = configuration()
    weights = weight_bytes(what)
    plain = predict(what)
    assert plain.fixed == pytest.approx(2 * weights, rel=0.01)  # the weights and their momentum
    assert predict(what, ema=True).fixed - plain.fixed == pytest.approx(weights, rel=0.01)
    assert predict(what, optimizer="adamw").fixed - plain.fixed == pytest.approx(weights, rel=0.01)


def test_bfloat16_halves_the_samples_share() -> None:
    full, half = predict(configuration()), predict(configuration(), precision="bfloat16")
    assert 0.4 < half.per_sample / full.per_sample < 0.75


def test_configuration_gives_the_batch_unless_told() -> None:
    what = configuration()
    assert predict(what).batch_size == 3
    assert predict(what, batch_size=5).tensors - predict(what).tensors == 2 * predict(what).per_sample


def test_repeated_prediction_is_not_traced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first = predict(configuration())
    monkeypatch.setattr(memory, "_trace_peak", lambda *_: pytest.fail("traced again"))
    assert predict(configuration()) == first


def test_trace_does_not_depend_on_the_garbage_collector() -> None:
    settings, thresholds = settings_of(configuration(), "float32"), gc.get_threshold()
    traced = set()
    try:
        for first in (50, 1000):
            gc.set_threshold(first)
            traced.add(memory._trace_peak(settings, 4))
    finally:
        gc.set_threshold(*thresholds)
    assert len(traced) == 1
    assert gc.isenabled()


def test_tracing_leaves_nothing_behind() -> None:
    state, resize = torch.get_rng_state(), torch.UntypedStorage.resize_
    rss = psutil.Process().memory_info().rss
    memory._trace_peak(settings_of(configuration(), "float32"), 4000)  # would be about 20 GB
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.UntypedStorage.resize_ is resize
    assert psutil.Process().memory_info().rss - rss < 1000 * MIB
    assert type(torch.zeros(1)) is torch.Tensor


LINE = st.builds(
    MemoryPrediction.from_line,
    st.integers(2, 512),
    per_sample=st.integers(10**5, 10**10),
    fixed=st.integers(0, 10**10),
)


@given(LINE, st.integers(0, 10**13))
def test_largest_batch_fits_and_the_next_does_not(prediction: MemoryPrediction, limit: int) -> None:
    fits = prediction.largest_batch(limit)
    line = (prediction.per_sample, prediction.fixed)
    assert fits == 0 or MemoryPrediction.from_line(fits, *line).process <= limit + 1
    assert MemoryPrediction.from_line(fits + 1, *line).process > limit - 1


@given(LINE)
def test_exact_limit_is_not_refused_and_a_byte_less_is(prediction: MemoryPrediction) -> None:
    prediction.refuse_if_too_large(prediction.process)
    with pytest.raises(PlanError, match=f"batch_size {prediction.batch_size}: .*free some memory"):
        prediction.refuse_if_too_large(prediction.process - 1)


def test_refusal_names_the_largest_batch_or_a_smaller_patch() -> None:
    prediction = MemoryPrediction.from_line(64, per_sample=100 * MIB, fixed=50 * MIB)
    with pytest.raises(PlanError, match=r"need 10\.23 GiB of memory, 2\.00 GiB .*--batch-size 7 or less"):
        prediction.refuse_if_too_large(2 * 2**30)
    with pytest.raises(PlanError, match=r"Not even a batch of 2 fits: use a smaller --patch-size"):
        prediction.refuse_if_too_large(PROCESS_BASE + 60 * MIB)


def test_describe_gives_the_numbers() -> None:
    sentence = MemoryPrediction.from_line(8, per_sample=128 * MIB, fixed=512 * MIB).describe()
    assert sentence == (
        "a batch of 8 needs 1.50 GiB in tensors at its peak (0.50 GiB fixed and 0.12 GiB per sample), "
        "about 3.03 GiB for the whole process"
    )


def test_available_memory_is_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []

    def mem_get_info(device: torch.device) -> tuple[int, int]:
        asked.append(device)
        return 5, 8

    monkeypatch.setattr(torch.cuda, "mem_get_info", mem_get_info)
    assert available_memory("cuda:1") == 5
    assert asked == [torch.device("cuda:1")]
    assert 0 < available_memory("cpu") <= psutil.virtual_memory().total
