"""What the benchmarks share: measuring a process tree, alternating rounds, tables and result files."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from rich.console import Console
from rich.table import Table

from goodfit.files import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

HERE = Path(__file__).resolve().parent
CACHE = HERE / ".cache"
RESULTS = HERE / "results"
GOODFIT = Path(sys.executable).parent / "goodfit"
SAMPLING_SECONDS = 0.05
SHARING_SECONDS = 0.5
"""Between samples of the proportional size, which takes the system milliseconds to sum up."""


@dataclass(frozen=True)
class Measured:
    """One run of a command.

    Attributes:
        seconds: wall time of the process, start-up included.
        peak_bytes: largest memory of the process and all its children together, pages that n processes share
            counted 1/n for each (Linux; elsewhere as ``resident_bytes``); two samples a second.
        resident_bytes: the same with shared pages counted once for each process; twenty samples a second.
    """

    seconds: float
    peak_bytes: int
    resident_bytes: int


def run_measured(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Measured:
    """Run a command to its end; what it prints is shown only when it fails.

    Raises:
        SystemExit: the command failed.
    """
    texts = [str(part) for part in command]
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = psutil.Popen(
            texts, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
        )
        try:
            code, peak, resident = _watch(process)
        except BaseException:
            _stop(process)
            raise
        seconds = time.perf_counter() - started
        if code != 0:
            output.seek(0)
            tail = output.read().decode(errors="replace")[-4000:]
            raise SystemExit(f"{' '.join(texts)}\nleft with {code}:\n{tail}")
    return Measured(seconds, peak, resident)


def _watch(process: psutil.Popen) -> tuple[int, int, int]:
    peak = resident = 0
    due = 0.0
    while (code := _wait(process)) is None:
        resident = max(resident, _tree_bytes(process, shared=False))
        if time.perf_counter() >= due:
            peak = max(peak, _tree_bytes(process, shared=True))
            due = time.perf_counter() + SHARING_SECONDS
    return code, peak, resident


def _wait(process: psutil.Popen) -> int | None:
    try:
        return int(process.wait(timeout=SAMPLING_SECONDS))
    except psutil.TimeoutExpired:
        return None


def _tree_bytes(process: psutil.Process, *, shared: bool) -> int:
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        for member in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                info = member.memory_full_info() if shared else member.memory_info()
                total += getattr(info, "pss", info.rss)
    return total


def _stop(process: psutil.Popen) -> None:
    """Let an interrupted command save what it has, then end what is left of it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        members = [process, *process.children(recursive=True)]
        process.terminate()
        for member in psutil.wait_procs(members, timeout=30)[1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()


def alternate(rounds: int, sides: Mapping[str, Callable[[], Measured]]) -> dict[str, list[Measured]]:
    """Run every side once per round, in turns, so that a slow minute of the machine meets all of them."""
    measured: dict[str, list[Measured]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, side in sides.items():
            one = side()
            measured[name].append(one)
            print(f"round {number + 1}: {name} {one.seconds:.1f} s, {gib(one.peak_bytes)}", flush=True)
    return measured


def compare(title: str, measured: Mapping[str, Sequence[Measured]]) -> dict[str, Any]:
    """Print seconds, ratio to the first side and memory; give the same for JSON."""
    medians = {name: statistics.median(one.seconds for one in rounds) for name, rounds in measured.items()}
    peaks = {name: max(one.peak_bytes for one in rounds) for name, rounds in measured.items()}
    resident = {name: max(one.resident_bytes for one in rounds) for name, rounds in measured.items()}
    reference = next(iter(medians.values()))
    rows = [
        [name, f"{medians[name]:.1f}", f"{medians[name] / reference:.3f}", gib(peaks[name]), gib(resident[name])]
        for name in measured
    ]
    show(title, ["command", "seconds (median)", "ratio", "peak memory", "resident, summed"], rows)
    return {
        name: {
            "seconds": medians[name],
            "ratio": medians[name] / reference,
            "peak_bytes": peaks[name],
            "resident_bytes": resident[name],
            "rounds": [asdict(one) for one in rounds],
        }
        for name, rounds in measured.items()
    }


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Make a parser whose help begins with the benchmark's docstring."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False
    )


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; all columns but the first are right-aligned."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 140, highlight=False).print(table)


def write_result(name: str, value: Mapping[str, Any]) -> None:
    """Write benchmarks/results/NAME.json: the machine first, then what was measured."""
    path = RESULTS / f"{name}.json"
    write_json(path, {"machine": machine(), **value})
    print(f"written: {os.path.relpath(path)}")


def read_result(name: str) -> dict[str, Any]:
    """Read benchmarks/results/NAME.json; empty when it is not there."""
    path = RESULTS / f"{name}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def machine() -> dict[str, Any]:
    """Describe the machine as far as timings depend on it."""
    return {
        "date": datetime.now().astimezone().isoformat(timespec="minutes"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "goodfit": metadata.version("goodfit"),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@contextlib.contextmanager
def work_folder(kept: Path | None) -> Iterator[Path]:
    """Give the folder the user chose, or a temporary one that goes away afterwards."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="work-") as folder:
        yield Path(folder)


def gib(size: float) -> str:
    """Say a number of bytes."""
    return f"{size / 2**30:.2f} GiB"
