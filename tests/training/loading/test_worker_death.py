"""Tests of what is said of a dead worker."""

from __future__ import annotations

import signal

import pytest

from goodfit.training.loading.worker_death import cause_of_death, way_out
from goodfit.training.watching.host_memory import HostMemory

MEMORY = HostMemory(available=1_540_000_000, total=16_000_000_000, limited=False)
JOB = HostMemory(available=40_000_000, total=8_000_000_000, limited=True)


@pytest.mark.parametrize(
    ("code", "kills", "memory", "words"),
    [
        (-9, 1, MEMORY, "SIGKILL: Killed) by the kernel for want of memory; 1.5 of 16.0 GB of the machine are free"),
        (-9, 1, JOB, "0.0 of 8.0 GB of this container or job are free now"),
        (-9, 0, MEMORY, "either by another program or by the kernel for want of memory; 1.5 of"),
        (-11, 0, MEMORY, "was killed by signal 11 (SIGSEGV: Segmentation fault)"),
        (-15, 0, MEMORY, "was killed by signal 15 (SIGTERM: Terminated)"),
        (-99, 0, MEMORY, "was killed by signal 99"),
        (3, 0, MEMORY, "left with exit code 3"),
        (None, 0, MEMORY, "for an unknown reason"),
    ],
)
def test_cause(code: int | None, kills: int, memory: HostMemory, words: str) -> None:
    assert words in cause_of_death(code, kills, memory)


def test_only_a_kill_is_blamed_on_memory() -> None:
    assert "memory" not in cause_of_death(-signal.SIGTERM, 5, MEMORY)


def test_way_out() -> None:
    assert "--workers 4" in way_out(-signal.SIGKILL, 8)
    assert "--workers 0" in way_out(None, 1)
    crashed = way_out(-signal.SIGBUS, 8)
    assert "goodfit check" in crashed
    assert "--workers 0" in crashed
