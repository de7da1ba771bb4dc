"""Tests of the memory this process may use, with control groups of both versions made of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
import pytest

from goodfit.training.watching.host_memory import HostMemory, host_memory, memory_kills

if TYPE_CHECKING:
    from pathlib import Path

GROUP_2 = {"memory.max": "1000", "memory.current": "700", "memory.stat": "anon 500\ninactive_file 50\n"}
GROUP_1 = {
    "memory.limit_in_bytes": "1000",
    "memory.usage_in_bytes": "700",
    "memory.stat": "inactive_file 1\ntotal_inactive_file 50\n",
}


def system(root: Path, cgroup: str, groups: dict[str, dict[str, str]], vmstat: str = "") -> tuple[Path, Path]:
    """Files as Linux has them below /proc and /sys/fs/cgroup."""
    proc, cgroups = root / "proc", root / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(cgroup)
    (proc / "vmstat").write_text(vmstat)
    for folder, files in groups.items():
        (cgroups / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (cgroups / folder / name).write_text(text + "\n")
    return proc, cgroups


def test_this_machine() -> None:
    found = host_memory()
    assert 0 < found.available < found.total <= psutil.virtual_memory().total
    assert memory_kills() >= 0


@pytest.mark.parametrize(
    ("cgroup", "groups"),
    [
        ("0::/user/job\n", {"user/job": GROUP_2}),
        ("0::/user/job\n", {"user/job": {"memory.max": "max", "memory.current": "1"}, "user": GROUP_2}),
        ("0::/\n", {".": GROUP_2}),
        ("0::/not/seen/from/here\n", {".": GROUP_2}),
        ("4:cpu:/else\n3:memory:/job\n0::/\n", {"memory/job": GROUP_1}),
        ("3:cpu,memory:/docker/abc:def\n", {"memory": GROUP_1}),
    ],
)
def test_limit_of_a_control_group(tmp_path: Path, cgroup: str, groups: dict[str, dict[str, str]]) -> None:
    assert host_memory(*system(tmp_path, cgroup, groups)) == HostMemory(350, 1000, limited=True)


def test_the_tightest_group_counts(tmp_path: Path) -> None:
    inner = {"memory.max": "5000", "memory.current": "600"}
    assert host_memory(*system(tmp_path, "0::/a/b\n", {"a/b": inner, "a": GROUP_2})).available == 350
    full = {"memory.max": "500", "memory.current": "600"}
    assert host_memory(*system(tmp_path / "2", "0::/a/b\n", {"a/b": full, "a": GROUP_2})) == HostMemory(0, 500, True)


@pytest.mark.parametrize("limit", ["max", "9223372036854771712"])
def test_no_limit(tmp_path: Path, limit: str) -> None:
    name = "memory.max" if limit == "max" else "memory.limit_in_bytes"
    places = system(tmp_path, "0::/\n3:memory:/\n", {".": {name: limit}, "memory": {name: limit}})
    found = host_memory(*places)
    assert (found.total, found.limited) == (psutil.virtual_memory().total, False)
    assert not host_memory(tmp_path / "none", tmp_path / "none").limited


def test_kills(tmp_path: Path) -> None:
    assert memory_kills(*system(tmp_path / "a", "0::/j\n", {"j": {"memory.events": "oom 4\noom_kill 3"}})) == 3
    control = {"memory/j": {"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2"}}
    assert memory_kills(*system(tmp_path / "b", "1:memory:/j\n", control)) == 2
    assert memory_kills(*system(tmp_path / "c", "", {}, vmstat="nr_free 9\noom_kill 7\n")) == 7
    assert memory_kills(tmp_path / "none", tmp_path / "none") == 0
