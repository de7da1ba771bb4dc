"""Tests of what a process and its children take."""

from __future__ import annotations

import mmap
import subprocess
import sys
import time

import psutil

from goodfit.training.watching.process_tree import ProcessTree

MB = 10**6
CHILD = """
import sys, time
block = bytearray(b"x") * 500_000_000
while time.process_time() < 0.3: pass
print("ready", flush=True)
sys.stdin.read()
"""


def own_memory() -> int:
    """Bytes of this process alone, now: what it shares with other processes changes whenever one of them ends."""
    info = psutil.Process().memory_full_info()
    return int(getattr(info, "pss", info.uss))


def test_memory_of_this_process() -> None:
    tree = ProcessTree()
    # Other tests of this process may have freed or taken memory since, so both sides are measured now.
    assert tree.memory > 10 * MB
    assert abs(tree.memory - own_memory()) < 150 * MB
    # Pages from the system itself: the allocator may have freed ones at hand, which count already.
    with mmap.mmap(-1, 500 * MB) as block:
        before = own_memory()
        block[:] = b"x" * len(block)
        tree.sample()
        grown = tree.memory - before
    assert 350 * MB < grown < 1200 * MB


def test_children_count() -> None:
    tree = ProcessTree()
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        tree.sample()
        assert 350 * MB < tree.memory - own_memory() < 800 * MB
        used = tree.cpu_seconds
        assert used >= 0.25
        child.communicate()
    tree.sample()
    assert abs(tree.memory - own_memory()) < 150 * MB
    # Time that was used stays used when the process has ended.
    assert tree.cpu_seconds >= used


def test_processor_time_is_counted_once() -> None:
    started = time.process_time()
    tree = ProcessTree()
    for _ in range(3):
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
        tree.sample()
    assert 0.25 < tree.cpu_seconds <= time.process_time() - started + 0.05
