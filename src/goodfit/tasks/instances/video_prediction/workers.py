"""Threads joined by short queues: work on a long video overlaps, and memory does not grow with its length.

Each thread takes from one channel and fills the next; a channel that is full makes its filler wait. The first error
of any of them stops all, and is raised where the threads were started, with the name of the work that failed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from goodfit.errors import GoodfitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

T = TypeVar("T")


class StageError(GoodfitError):
    """A part of the work met an error that the user can mend; the message names the part."""

    exit_code = 1


class StageCrashError(RuntimeError):
    """A part of the work failed for a reason of its own; the message names the part, the cause is the error."""


class _Stopped(BaseException):
    """Raised within the threads when another one has failed."""


class Channel(Generic[T]):
    """A queue of bounded length between two threads; made by ``Workers.channel``."""

    def __init__(self, capacity: int) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._closed = False
        self._stopped = False

    def put(self, item: T) -> None:
        """Add an item; waits while the channel is full."""
        with self._changed:
            while len(self._items) >= self._capacity and not self._stopped:
                self._changed.wait()
            if self._stopped:
                raise _Stopped
            self._items.append(item)
            self._changed.notify_all()

    def fill(self, items: Iterable[T]) -> None:
        """Add all items, then tell the reader that there are no more."""
        try:
            for item in items:
                self.put(item)
        finally:
            if isinstance(items, Generator):
                items.close()
        self.close()

    def close(self) -> None:
        """Tell the reader that there are no more items."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                while not self._items and not self._closed and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    raise _Stopped
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def stop(self) -> None:
        """Wake up and end both sides."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()


class Workers:
    """The threads of one piece of work; as a context, which is left when all have ended."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._channels: list[Channel[Any]] = []
        self._failure: tuple[str, BaseException] | None = None
        self._lock = threading.Lock()

    def channel(self, capacity: int) -> Channel[T]:
        """Make a channel for at most ``capacity`` waiting items."""
        channel: Channel[T] = Channel(capacity)
        self._channels.append(channel)
        return channel

    def start(self, name: str, job: Callable[[], None]) -> None:
        """Run a job in a thread of its own; ``name`` is what an error message calls it."""
        thread = threading.Thread(target=self._guarded, args=(name, job), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def run(self, name: str, job: Callable[[], None]) -> None:
        """Run a job in this thread, under the same rules; KeyboardInterrupt passes."""
        self._guarded(name, job)

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                for thread in self._threads:
                    thread.join()
        finally:
            # Also after Ctrl-C while waiting above.
            if error is not None or any(thread.is_alive() for thread in self._threads):
                self._stop()
            for thread in self._threads:
                thread.join()
        if error is None and self._failure is not None:
            self._raise(*self._failure)

    def _guarded(self, name: str, job: Callable[[], None]) -> None:
        try:
            job()
        except _Stopped:
            pass
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            with self._lock:
                self._failure = self._failure or (name, error)
            self._stop()

    def _stop(self) -> None:
        for channel in self._channels:
            channel.stop()

    @staticmethod
    def _raise(name: str, error: BaseException) -> None:
        if isinstance(error, GoodfitError):
            raise StageError(f"{name}: {error}") from error
        raise StageCrashError(f"{name} failed: {type(error).__name__}: {error}") from error
