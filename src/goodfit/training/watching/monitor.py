"""Watching the machine during training: processor, memory and GPU, and advice when they hold training back."""

from __future__ import annotations

import importlib
import logging
import math
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from goodfit.training.watching.host_memory import host_memory
from goodfit.training.watching.process_tree import ProcessTree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

logger = logging.getLogger(__name__)

MACHINE_COLUMNS = ("cpu_percent", "memory_bytes", "gpu_percent", "gpu_memory_bytes", "gpu_memory_peak_bytes")
WAITING = 0.2
"""Share of the training time spent waiting for data that is worth a word."""
NEARLY_FULL = 0.9
"""Share of the memory this process may have that is worth a word."""
BUSY = 80.0
"""CPU percent from which further workers would only take cores from those that run."""
_LARGEST_SHARE = 0.02
"""Of the time that sampling may take; on a large machine with many processes a sample takes longer."""


class MachineMonitor:
    """Samples in a thread what training takes of the machine; a context around the training.

    Args:
        device: where training runs.
        interval: seconds between samples, at least.
    """

    def __init__(self, device: torch.device, interval: float = 1.0) -> None:
        self._interval = interval
        self._gpu = _Gpu(device) if device.type == "cuda" else None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="machine-monitor", daemon=True)
        self._tree = ProcessTree()
        self._last_limit = math.inf
        self._begin_lap()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def lap(self) -> dict[str, float]:
        """Give what was seen since the lap before, by the columns ``MACHINE_COLUMNS``.

        Returns:
            cpu_percent: of all cores this process may use, by it and its children.
            memory_bytes: most resident memory of this process and its children; what they share counts once.
            gpu_percent: mean share of the time in which the GPU computed, for any process.
            gpu_memory_bytes: GPU memory in use now, by all processes.
            gpu_memory_peak_bytes: most GPU memory that torch has reserved here; torch's peak statistics begin anew.

            NaN for those of the GPU where there is none, or NVML does not answer.
        """
        with self._lock:
            self._sample()
            seconds = time.perf_counter() - self._started
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            values = [
                100 * (self._tree.cpu_seconds - self._cpu_before) / (seconds * cores),
                float(self._memory),
                *((math.nan,) * 3 if self._gpu is None else self._gpu.lap()),
            ]
            self._last_limit = self._limit
            self._begin_lap()
        return dict(zip(MACHINE_COLUMNS, values, strict=True))

    @property
    def memory_limit(self) -> float:
        """Bytes that this process and its children could have, at the tightest moment of the last lap.

        That is what they have and what is still available, on the machine and within its container or job.
        """
        return self._last_limit

    def _begin_lap(self) -> None:
        self._started = time.perf_counter()
        self._cpu_before = self._tree.cpu_seconds
        self._memory, self._limit = 0, math.inf

    def _watch(self) -> None:
        pause = self._interval
        while not self._stop.wait(pause):
            started = time.perf_counter()
            with self._lock:
                self._sample()
            pause = max(self._interval, (time.perf_counter() - started) / _LARGEST_SHARE)

    def _sample(self) -> None:
        self._tree.sample()
        memory = host_memory()
        self._memory = max(self._memory, self._tree.memory)
        self._limit = min(self._limit, self._tree.memory + memory.available, memory.total)
        if self._gpu is not None:
            self._gpu.sample()


class _Gpu:
    """A GPU as NVML sees it, and torch's allocator."""

    def __init__(self, device: torch.device) -> None:
        # Asked here, since each thread has a current GPU of its own.
        self._device = device if device.index is not None else torch.device("cuda", torch.cuda.current_device())
        self._answers = True
        self._percents: list[float] = []
        self._memory = math.nan

    def sample(self) -> None:
        """Ask NVML; after a failure never again."""
        if not self._answers:
            return
        try:
            self._percents.append(float(torch.cuda.utilization(self._device)))
            self._memory = float(torch.cuda.device_memory_used(self._device))
        except _nvml_errors() as error:
            self._answers, self._percents, self._memory = False, [], math.nan
            logger.warning("NVML does not tell use and memory of the GPU (%s): these columns stay empty", error)

    def lap(self) -> tuple[float, float, float]:
        """Mean percent of use, bytes in use, most bytes that torch has reserved."""
        percent = sum(self._percents) / len(self._percents) if self._percents else math.nan
        self._percents = []
        peak = float(torch.cuda.max_memory_reserved(self._device))
        torch.cuda.reset_peak_memory_stats(self._device)
        return percent, self._memory, peak


def _nvml_errors() -> tuple[type[Exception], ...]:
    """What torch raises where NVML is missing, or refuses."""
    try:
        return ImportError, RuntimeError, importlib.import_module("pynvml").NVMLError
    except ImportError:
        return ImportError, RuntimeError


@dataclass(frozen=True)
class Advice:
    """A sentence for the user.

    Attributes:
        key: the same for sentences that need not be said twice in a run.
        text: the sentence.
    """

    key: str
    text: str


def advice(
    lap: Mapping[str, float], data_wait_share: float, workers: int, device_type: str, memory_limit: float
) -> list[Advice]:
    """Say what holds training back, or is about to end it, and what to do.

    Args:
        lap: as :meth:`MachineMonitor.lap` gives it.
        data_wait_share: share of the training time spent waiting for batches, 0 to 1.
        workers: loader processes.
        device_type: "cpu" or "cuda".
        memory_limit: bytes that the run could have, as :attr:`MachineMonitor.memory_limit`.
    """
    found = []
    if data_wait_share > WAITING:
        waits = f"Training waits for data {100 * data_wait_share:.0f} % of the time: "
        found.append(Advice("data", waits + _faster_loading(lap["cpu_percent"], workers, device_type)))
    memory = lap["memory_bytes"]
    if memory > NEARLY_FULL * memory_limit:
        less = [f"fewer workers (--workers {workers // 2})"] if workers else []
        less += ["a smaller --batch-size"] if device_type == "cpu" else []
        less += ["ending other programs"]
        found.append(
            Advice(
                "memory",
                f"Memory is nearly full: this run has {memory / 1e9:.1f} of the {memory_limit / 1e9:.1f} GB it could "
                f"have, and the system may kill it. What helps: {' or '.join(less)}. The run can be resumed.",
            )
        )
    return found


class Adviser:
    """Looks at each lap and logs each advice once.

    Args:
        workers: loader processes.
        device_type: "cpu" or "cuda".
    """

    def __init__(self, workers: int, device_type: str) -> None:
        self._workers, self._device_type = workers, device_type
        self._said: set[str] = set()

    def look(self, lap: Mapping[str, float], data_wait_share: float, memory_limit: float) -> None:
        """Log what has not been said yet; the arguments are those of ``advice``."""
        for found in advice(lap, data_wait_share, self._workers, self._device_type, memory_limit):
            if found.key not in self._said:
                logger.warning("%s", found.text)
            self._said.add(found.key)


def _faster_loading(cpu_percent: float, workers: int, device_type: str) -> str:
    if workers == 0:
        cost = "; they share the cores with the network, so compare samples_per_second" if device_type == "cpu" else ""
        return f"let worker processes make the batches (--workers {1 if device_type == 'cpu' else 4}){cost}."
    if cpu_percent >= BUSY:
        return "all cores are busy, so more workers would not help; more cores, or fewer other programs, would."
    return f"try more workers (--workers {2 * workers}), or put the run on a faster disk."
