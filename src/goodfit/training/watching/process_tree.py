"""What this process and its children take of the machine."""

from __future__ import annotations

from contextlib import suppress

import psutil


class ProcessTree:
    """This process and all below it, loader workers included.

    Attributes:
        cpu_seconds: core seconds the processes have used since the tree was made; what a process used between the
            last sample and its end is not known.
        memory: bytes of resident memory at the last sample. Memory that several processes share counts once (Linux:
            proportional set size; elsewhere shared memory is left out).
    """

    def __init__(self) -> None:
        self._me = psutil.Process()
        self._used: dict[psutil.Process, float] = {}
        self.cpu_seconds, self.memory = 0.0, 0
        self.sample()
        self.cpu_seconds = 0.0

    def sample(self) -> None:
        """Look at all processes; costs a few milliseconds."""
        used: dict[psutil.Process, float] = {}
        memory = 0
        for process in [self._me, *self._me.children(recursive=True)]:
            with suppress(psutil.Error):  # it has ended meanwhile
                times = process.cpu_times()
                info = process.memory_full_info()
                used[process] = times.user + times.system
                memory += int(getattr(info, "pss", info.uss))
        self.cpu_seconds += sum(seconds - self._used.get(process, 0.0) for process, seconds in used.items())
        self._used, self.memory = used, memory
