from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pytest
import torch

from goodfit.planning import gpu_offset
from goodfit.planning.machine_memory import allowances_on, available_memory, resident_bytes
from goodfit.planning.memory import GPU_SHARE, GPU_WORKSPACE, RESIDENT_SHARE, WORKSPACE

if TYPE_CHECKING:
    from pathlib import Path

CPU, GPU = torch.device("cpu"), torch.device("cuda:1")


def test_on_a_cpu_a_training_may_have_what_is_free_and_what_the_process_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goodfit.training.watching.host_memory.host_memory", lambda: SimpleNamespace(available=10**9))
    assert available_memory(CPU) == pytest.approx(10**9 + resident_bytes(), abs=10**8)


def test_on_a_gpu_it_may_have_what_is_free_and_what_torch_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []

    def mem_get_info(device: torch.device) -> tuple[int, int]:
        asked.append(device)
        return 5, 8

    monkeypatch.setattr(torch.cuda, "mem_get_info", mem_get_info)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 2)
    assert available_memory(GPU) == 7
    assert asked == [GPU]


def test_on_a_cpu_the_process_counts_with_its_libraries() -> None:
    found = allowances_on(CPU, loader=77)
    assert found.context == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert (found.workspace, found.loader, found.share, found.device) == (WORKSPACE, 77, RESIDENT_SHARE, "cpu")


def test_on_a_gpu_the_measured_offset_is_used_once_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GPU X")
    assumed = allowances_on(GPU, offsets=tmp_path)
    assert (assumed.share, assumed.workspace, assumed.context) == (GPU_SHARE, GPU_WORKSPACE, 0)
    assert assumed.measured == ""
    here = f"GPU X, torch {torch.__version__}, instances"
    gpu_offset.remember(here, 1000, 1400, tmp_path)
    assert allowances_on(GPU, offsets=tmp_path).measured == "", "detectors say nothing of U-Nets"
    measured = allowances_on(GPU, loader=5, kind="instances", offsets=tmp_path)
    assert (measured.share, measured.workspace, measured.loader) == (1.0, 400, 0)
    assert measured.measured == here
