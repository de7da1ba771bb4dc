"""Wishes to end a training: Ctrl-C, SIGTERM, and `goodfit stop` through a file in the run folder."""

from __future__ import annotations

import logging
import platform
import signal
import threading
import time
from typing import TYPE_CHECKING, Literal

from goodfit.errors import RunError
from goodfit.files import read_json, write_json

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType, TracebackType

logger = logging.getLogger(__name__)

Wish = Literal["none", "cooldown", "leave"]
POLL_SECONDS = 1.0
"""A file is looked for this often: on a network drive each look costs a round trip."""


class LeaveError(Exception):
    """Raised where the training can stop at once: it has to be saved and left."""


def ask_to_stop(file: Path, *, now: bool) -> None:
    """Leave a request for the process that trains, which may be on another machine.

    Args:
        file: stop.json in the run folder.
        now: save and leave; otherwise the cooldown begins.
    """
    write_json(file, {"now": now, "asked_on": platform.node()})


class StopRequests:
    """What the user wants, as far as is known; use as a context around the training.

    The first SIGINT or SIGTERM asks for the cooldown, the second to save and leave; a third SIGINT interrupts
    at once. With ``grace`` the first SIGTERM asks to save and leave: the sender will kill the process soon.
    Outside the main thread, where Python delivers no signals, only the file is heard.

    Args:
        file: stop.json of the run folder. It may be there already: whoever asks need not wait for the first step.
        grace: seconds between SIGTERM and the kill, or None.
    """

    def __init__(self, file: Path, grace: float | None = None) -> None:
        self._file, self._grace = file, grace
        self._signals: list[str] = []
        self._from_file: Wish = "none"
        self._looked = -POLL_SECONDS
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopRequests:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._file.unlink(missing_ok=True)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and len(self._signals) >= 2:
            raise KeyboardInterrupt
        self._signals.append(signal.Signals(number).name)

    @property
    def wish(self) -> Wish:
        """The strongest wish so far; looks for the file, though not more often than once a second."""
        now = time.monotonic()
        if now - self._looked >= POLL_SECONDS:
            self._looked = now
            self._from_file = self._read_file()
        if self._from_file == "leave" or len(self._signals) >= 2:
            return "leave"
        if self._grace is not None and "SIGTERM" in self._signals:
            return "leave"
        return "cooldown" if self._signals or self._from_file == "cooldown" else "none"

    @property
    def reason(self) -> str:
        """Who asked, for messages."""
        if self._signals:
            return f"{self._signals[-1]} received"
        return "asked by `goodfit stop`"

    def leave_if_asked(self) -> None:
        """Give way in the middle of a long validation.

        Raises:
            LeaveError: the user wants the run saved and left.
        """
        if self.wish == "leave":
            raise LeaveError

    def _read_file(self) -> Wish:
        if not self._file.is_file():
            return self._from_file
        try:
            asked = read_json(self._file, RunError)
        except RunError as error:
            logger.warning("%s", error)
            return self._from_file
        return "leave" if isinstance(asked, dict) and asked.get("now") else "cooldown"
