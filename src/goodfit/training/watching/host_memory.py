"""Memory of the machine as this process may use it: within the limits of its container or job, too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class HostMemory:
    """Bytes of memory.

    Attributes:
        available: what can still be taken before the machine, or the limit of the control group, is full.
        total: of the machine, or the limit where that is smaller.
        limited: whether a control group (a container, a job) sets the limit rather than the machine.
    """

    available: int
    total: int
    limited: bool


def host_memory(proc: Path = PROC, cgroups: Path = CGROUPS) -> HostMemory:
    """Ask the system; both versions of Linux's control groups count, elsewhere the machine alone."""
    machine = psutil.virtual_memory()
    available, total, limited = int(machine.available), int(machine.total), False
    for group in _groups(proc, cgroups):
        limit = _number(group / "memory.max", group / "memory.limit_in_bytes")
        used = _number(group / "memory.current", group / "memory.usage_in_bytes")
        if limit is None or used is None or limit >= machine.total:
            continue
        # Files that were read once and not again are given back without a word.
        left = max(0, limit - used + _entry(group / "memory.stat", "total_inactive_file", "inactive_file"))
        available, total, limited = min(available, left), min(total, limit), True
    return HostMemory(available, total, limited)


def memory_kills(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Count the processes that the kernel has killed for want of memory, as far as it tells; 0 elsewhere.

    Only a difference of two calls means anything.
    """
    machine = _entry(proc / "vmstat", "oom_kill")
    files = [group / name for group in _groups(proc, cgroups) for name in ("memory.events", "memory.oom_control")]
    return max([machine, *(_entry(file, "oom_kill") for file in files)])


def _groups(proc: Path, cgroups: Path) -> Iterator[Path]:
    """Folders of the control groups that limit this process's memory, from its own to the outermost."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _number_of, controllers, path = line.split(":", 2)
        if controllers == "" or "memory" in controllers.split(","):
            root = cgroups / "memory" if controllers else cgroups
            own = root / path.lstrip("/")
            # In a container the path may be the host's, and the root the container's own.
            yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(root) and folder.is_dir())


def _number(*files: Path) -> int | None:
    """Content of the first file that is there; None where it says "max", or none is there."""
    for file in files:
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        return int(text) if text.isdigit() else None
    return None


def _entry(file: Path, *keys: str) -> int:
    """Value of the first key that a file of "key value" lines has, or 0."""
    try:
        pairs = dict(line.split(maxsplit=1) for line in file.read_text().splitlines() if " " in line)
    except OSError:
        return 0
    return next((int(pairs[key]) for key in keys if key in pairs), 0)
