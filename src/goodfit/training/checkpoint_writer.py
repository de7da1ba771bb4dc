"""Checkpoints written beside the training, not in its way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from goodfit.training.checkpoint import Checkpoint, save_checkpoint

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path
    from types import TracebackType


class CheckpointWriter:
    """Writes checkpoints in a thread of its own, one after the other, while the training goes on; use as a context.

    A checkpoint is copied when it is handed in, so that the next step may change the weights. An error of the
    thread is raised by the next call.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)
        if error is None:
            self.wait()

    def write(self, path: Path, checkpoint: Checkpoint, previous: Path | None = None) -> None:
        """Hand in a checkpoint; waits only for the one before it.

        Args:
            path: the file to replace.
            checkpoint: what to write.
            previous: receives the file that ``path`` was until now.

        Raises:
            ResourceError: the write before this one met a full disk.
        """
        snapshot = checkpoint.snapshot()
        self.wait()
        self._pending = self._thread.submit(_write, path, snapshot, previous)

    def wait(self) -> None:
        """Wait until everything handed in is on the disk.

        Raises:
            ResourceError: the disk is full.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()


def _write(path: Path, checkpoint: Checkpoint, previous: Path | None) -> None:
    if previous is None or not path.is_file():
        save_checkpoint(path, checkpoint)
        return
    # The new file is complete before the old one moves; a kill between the two renames leaves both under other
    # names, and reading falls back to the previous one.
    complete = path.with_name(f".new-{path.name}")
    save_checkpoint(complete, checkpoint)
    path.replace(previous)
    complete.replace(path)
