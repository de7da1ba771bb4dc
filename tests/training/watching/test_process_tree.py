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
block = bytearray(b"x") * 80_000_000
while time.process_time() < 0.3: pass
print("ready", flush=True)
sys.stdin.read()
"""


def test_memory_of_this_process() -> None:
    tree = ProcessTree()
    before = tree.memory
    assert 10 * MB < before <= psutil.Process().memory_info().rss * 1.1
    # Pages from the system itself: the allocator may have freed ones at hand, which count already.
    with mmap.mmap(-1, 80 * MB) as block:
        block[:] = b"x" * len(block)
        tree.sample()
        grown = tree.memory - before
    assert 70 * MB < grown < 200 * MB


def test_children_count() -> None:
    tree = ProcessTree()
    before = tree.memory
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        tree.sample()
        # Pages shared with other processes count for less as more of them come.
        assert 50 * MB < tree.memory - before < 200 * MB
        used = tree.cpu_seconds
        assert used >= 0.25
        child.communicate()
    tree.sample()
    assert abs(tree.memory - before) < 30 * MB
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
