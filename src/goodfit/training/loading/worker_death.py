"""What is said of a loader worker that died."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goodfit.training.watching.host_memory import HostMemory

GB = 1e9
CRASHES = frozenset(-number for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGABRT, signal.SIGFPE))


def cause_of_death(code: int | None, kills: int, memory: HostMemory) -> str:
    """Say in words why a process ended.

    Args:
        code: its exit code, that of the signal negated; None where nobody knows it.
        kills: processes the kernel has killed for want of memory since the loader began.
        memory: as it is now.
    """
    if code is None:
        return "ended for an unknown reason"
    if code >= 0:
        return f"left with exit code {code}"
    try:
        name, words = signal.Signals(-code).name, signal.strsignal(-code)
    except ValueError:
        name, words = "unknown", None
    killed = f"was killed by signal {-code} ({name}{'' if words is None else ': ' + words})"
    if code != -signal.SIGKILL:
        return killed
    whose = "this container or job" if memory.limited else "the machine"
    state = f"{memory.available / GB:.1f} of {memory.total / GB:.1f} GB of {whose} are free now"
    if kills > 0:
        return f"{killed} by the kernel for want of memory; {state}"
    return f"{killed}, either by another program or by the kernel for want of memory; {state}"


def way_out(code: int | None, workers: int) -> str:
    """Say what the user can do against it.

    Args:
        code: exit code as in :func:`cause_of_death`.
        workers: number of them.
    """
    if code in CRASHES:
        return "A library crashed on these cases: look at them with `goodfit check`, or train with --workers 0."
    return f"If it happens again, use fewer workers (--workers {workers // 2}) or a smaller --batch-size."
