"""Tests of the watch over the machine: real for the processor, with fakes for GPU and memory."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import torch

from goodfit.training.watching import monitor as module
from goodfit.training.watching.host_memory import HostMemory
from goodfit.training.watching.monitor import MACHINE_COLUMNS, Advice, Adviser, MachineMonitor, advice

if TYPE_CHECKING:
    from collections.abc import Callable

CPU = torch.device("cpu")
GPU = torch.device("cuda:1")


def test_a_lap_on_the_cpu() -> None:
    with MachineMonitor(CPU, interval=0.02) as monitor:
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
        lap = monitor.lap()
        assert tuple(lap) == MACHINE_COLUMNS
        assert 0 < lap["cpu_percent"] < 110
        assert 10e6 < lap["memory_bytes"] < monitor.memory_limit
        assert all(math.isnan(lap[name]) for name in MACHINE_COLUMNS[2:])
        again = monitor.lap()
        assert again["memory_bytes"] > 10e6
    assert "machine-monitor" not in {thread.name for thread in threading.enumerate()}


def test_the_thread_ends_with_an_exception_too() -> None:
    def fail() -> None:
        with MachineMonitor(CPU):
            raise ValueError("of the training")

    with pytest.raises(ValueError, match="of the training"):
        fail()
    assert "machine-monitor" not in {thread.name for thread in threading.enumerate()}


class FakeTree:
    """Counts up memory and processor time as the test says."""

    memories: tuple[int, ...] = (50, 900, 100)

    def __init__(self) -> None:
        self.memory, self.cpu_seconds, self.count = self.memories[0], 0.0, 0

    def sample(self) -> None:
        self.count = min(self.count + 1, len(self.memories) - 1)
        self.memory = self.memories[self.count]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_peak_between_laps_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    trees: list[FakeTree] = []

    def tree() -> FakeTree:
        trees.append(FakeTree())
        return trees[0]

    memories = iter([HostMemory(5000, 10_000, limited=False), HostMemory(100, 10_000, limited=False)])
    calm = HostMemory(7000, 10_000, limited=False)
    monkeypatch.setattr(module, "ProcessTree", tree)
    monkeypatch.setattr(module, "host_memory", lambda: next(memories, calm))
    with MachineMonitor(CPU, interval=0.01) as monitor:
        wait_until(lambda: trees[0].count == 2)
        assert monitor.lap()["memory_bytes"] == 900
        assert monitor.memory_limit == 200  # the tightest moment: 100 used and 100 left
        assert monitor.lap()["memory_bytes"] == 100
        assert monitor.memory_limit == 7100


class FakeGpu:
    """NVML and torch's allocator."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        self.error, self.percents, self.asked, self.resets = error, [20, 40], 0, 0
        for name in ("utilization", "device_memory_used", "max_memory_reserved", "reset_peak_memory_stats"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))

    def utilization(self, device: Any) -> int:
        assert device == GPU
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.percents[min(self.asked, len(self.percents)) - 1]

    def device_memory_used(self, device: Any) -> int:
        assert device == GPU
        return 1000 * self.asked

    def max_memory_reserved(self, device: Any) -> int:
        assert device == GPU
        return 77

    def reset_peak_memory_stats(self, device: Any) -> None:
        assert device == GPU
        self.resets += 1


def test_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu(monkeypatch)
    monitor = MachineMonitor(GPU, interval=60)
    assert monitor.lap()["gpu_percent"] == 20
    assert gpu.resets == 1
    with MachineMonitor(GPU, interval=0.01) as watched:
        wait_until(lambda: gpu.asked > 3)
        lap = watched.lap()
    assert lap["gpu_percent"] == 40
    assert lap["gpu_memory_bytes"] == 1000 * gpu.asked
    assert lap["gpu_memory_peak_bytes"] == 77


def test_the_gpu_percent_is_the_mean_of_a_lap(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu(monkeypatch)
    gpu.percents = [10, 30, 80]
    with MachineMonitor(GPU, interval=0.01) as monitor:
        wait_until(lambda: gpu.asked >= 2)
        lap = monitor.lap()
    assert 10 < lap["gpu_percent"] < 80


def nvml_error() -> Exception:
    import pynvml

    return pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)


@pytest.mark.parametrize("error", [nvml_error(), RuntimeError("no driver"), ModuleNotFoundError("pynvml")])
def test_nvml_that_fails_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    gpu = FakeGpu(monkeypatch, error)
    monitor = MachineMonitor(GPU, interval=60)
    for _ in range(3):
        lap = monitor.lap()
        assert math.isnan(lap["gpu_percent"])
        assert math.isnan(lap["gpu_memory_bytes"])
        assert lap["gpu_memory_peak_bytes"] == 77
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert str(error) in caplog.text
    assert gpu.asked == 1


def advised(
    share: float = 0.0, workers: int = 0, device: str = "cuda", cpu: float = 30.0, used: float = 1e9
) -> list[Advice]:
    return advice({"cpu_percent": cpu, "memory_bytes": used}, share, workers, device, 10e9)


def test_no_advice_without_need() -> None:
    assert advised(share=0.2, used=9e9) == []
    assert advised(share=math.nan, used=math.nan) == []
    assert advice({"cpu_percent": 1.0, "memory_bytes": 9e9}, 0.0, 2, "cpu", math.inf) == []


@pytest.mark.parametrize(
    ("workers", "device", "cpu", "words"),
    [
        (0, "cuda", 30.0, "--workers 4"),
        (0, "cpu", 30.0, "--workers 1"),
        (3, "cuda", 30.0, "--workers 6"),
        (3, "cuda", 95.0, "more workers would not help"),
    ],
)
def test_advice_on_loading(workers: int, device: str, cpu: float, words: str) -> None:
    (found,) = advised(share=0.35, workers=workers, device=device, cpu=cpu)
    assert found.key == "data"
    assert "waits for data 35 % of the time" in found.text
    assert words in found.text


def test_advice_on_memory() -> None:
    (found,) = advised(used=9.5e9, workers=6)
    assert found.key == "memory"
    assert "9.5 of the 10.0 GB" in found.text
    assert "--workers 3" in found.text
    assert "--batch-size" not in found.text
    (other,) = advised(used=9.5e9, workers=0, device="cpu")
    assert "--workers" not in other.text
    assert "--batch-size" in other.text
    assert [entry.key for entry in advised(share=0.5, used=9.9e9)] == ["data", "memory"]


def test_each_advice_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    adviser = Adviser(2, "cpu")
    full, roomy = {"cpu_percent": 10.0, "memory_bytes": 95.0}, {"cpu_percent": 10.0, "memory_bytes": 5.0}
    for lap, waiting in ((roomy, 0.0), (roomy, math.nan), (full, 0.1), (full, 0.5), (full, 0.9), (roomy, 0.9)):
        adviser.look(lap, waiting, 100.0)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "Memory is nearly full" in caplog.records[0].message
    assert "Training waits for data 50 %" in caplog.records[1].message
