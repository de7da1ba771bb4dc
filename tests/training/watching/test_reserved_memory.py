"""The measured offset of a GPU, with a GPU made of numbers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from goodfit.planning import gpu_offset
from goodfit.planning.instances.plan import InstanceData, InstanceModel, InstancePlan
from goodfit.planning.machine_memory import allowances_on
from goodfit.planning.memory import MemoryModel
from goodfit.training.watching.reserved_memory import STEPS, ReservedMemory, noted_memory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.planning.plan import Plan

GPU = torch.device("cuda:0")
NAME = f"GPU X, torch {torch.__version__}"
CONTEXT: Any = SimpleNamespace()


class FakeGpu:
    """Its peak is 900 bytes from before, then what a step reserves."""

    def __init__(self) -> None:
        self.peak, self.ooms, self.emptied = 900, 0, 0

    def max_memory_reserved(self, device: torch.device) -> int:
        assert device == GPU
        return self.peak

    def reset_peak_memory_stats(self, device: torch.device) -> None:
        assert self.emptied, "what is cached counts as reserved"
        self.peak = 0

    def empty_cache(self) -> None:
        self.emptied += 1

    def memory_stats(self, device: torch.device) -> dict[str, int]:
        return {"num_ooms": self.ooms}

    def get_device_name(self, device: torch.device) -> str:
        return "GPU X"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    made = FakeGpu()
    for name in (
        "max_memory_reserved",
        "reset_peak_memory_stats",
        "empty_cache",
        "memory_stats",
        "get_device_name",
    ):
        monkeypatch.setattr(torch.cuda, name, getattr(made, name))
    return made


def test_the_offset_of_a_training_is_used_by_the_next_plan(gpu: FakeGpu, tmp_path: Path) -> None:
    hook = ReservedMemory(GPU, 1000.0, "segmentation", tmp_path)
    hook.before_train(CONTEXT)
    for step in range(2 * STEPS):
        gpu.peak = max(gpu.peak, 1500 if step < STEPS else 9000)  # a validation may take more
        hook.after_step(CONTEXT)
        assert (gpu_offset.recall(f"{NAME}, segmentation", tmp_path) is not None) == (step >= STEPS - 1)
    assert gpu_offset.recall(f"{NAME}, segmentation", tmp_path) == 500
    beside = allowances_on(GPU, offsets=tmp_path)
    assert MemoryModel(((0.0, 1000.0),), beside).predict(4).process == 4500
    assert beside.measured == f"{NAME}, segmentation"
    assert allowances_on(GPU, kind="instances", offsets=tmp_path).measured == ""


def test_a_batch_that_did_not_fit_at_once_tells_nothing(gpu: FakeGpu, tmp_path: Path) -> None:
    gpu.ooms = 2  # of timing other networks
    hook = ReservedMemory(GPU, 1000.0, "segmentation", tmp_path)
    hook.before_train(CONTEXT)
    for step in range(STEPS):
        gpu.ooms += step == 1
        hook.after_step(CONTEXT)
    assert gpu_offset.recall(f"{NAME}, segmentation", tmp_path) is None


def test_there_is_a_hook_where_there_is_a_gpu_and_a_traced_peak(
    tiny_plan: Callable[..., Plan], gpu: FakeGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    plan = tiny_plan().model_copy(update={"predicted_tensors": 700.0})
    assert noted_memory(torch.device("cpu"), plan) == []
    assert noted_memory(GPU, plan.model_copy(update={"predicted_tensors": None})) == []
    data = InstanceData(name="made", key="key", categories=["x"], has_masks=True)
    detector = InstancePlan(goodfit_version="0", memory=8e9, data=data, model=InstanceModel())
    for kind, one in (
        ("segmentation", plan),
        ("instances", detector.model_copy(update={"predicted_tensors": 600.0})),
    ):
        (hook,) = noted_memory(GPU, one)
        hook.before_train(CONTEXT)
        gpu.peak = 1000
        for _ in range(STEPS):
            hook.after_step(CONTEXT)
        assert gpu_offset.recall(f"{NAME}, {kind}") == 1000 - one.predicted_tensors
