"""Ctrl-C and SIGTERM: finish the step that is running, save, leave."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class StopSignal:
    """Whether a signal asked the training to leave, and which."""

    def __init__(self) -> None:
        self.received: str | None = None

    def __bool__(self) -> bool:
        return self.received is not None


@contextmanager
def catching_signals() -> Iterator[StopSignal]:
    """Note SIGINT and SIGTERM instead of dying; a second SIGINT interrupts at once.

    Outside the main thread, where Python delivers no signals, nothing is caught.
    """
    stop = StopSignal()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, _frame: FrameType | None) -> None:
        if stop and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.received = signal.Signals(number).name

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
