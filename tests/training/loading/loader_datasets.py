"""Datasets of the loader tests, in a module that worker processes can import; without torch, they start fast."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.errors import ImageFileError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Squares:
    """The step and an array made from it, which is empty for some."""

    pause: float = 0.0

    def __getitem__(self, step: int) -> tuple[int, np.ndarray]:
        time.sleep(self.pause)
        return step, np.full((step % 3, 5), step, dtype=np.int16)

    def cases_of(self, step: int) -> tuple[str, ...]:
        return (f"case_{step}", f"case_{step}", "other")


class KilledOnce(Squares):
    """Kills its own process at some steps, until it has done so ``times`` times."""

    def __init__(self, folder: Path, steps: tuple[int, ...], times: int = 1, number: int = signal.SIGKILL) -> None:
        super().__init__()
        self.folder, self.steps, self.times, self.number = folder, steps, times, number

    def __getitem__(self, step: int) -> tuple[int, np.ndarray]:
        for attempt in range(self.times if step in self.steps else 0):
            mark = self.folder / f"{step}-{attempt}"
            if not mark.exists():
                mark.write_text(str(os.getpid()))
                signal.signal(self.number, signal.SIG_DFL) if self.number != signal.SIGKILL else None
                os.kill(os.getpid(), self.number)
        return super().__getitem__(step)


class CustomError(Exception):
    """Cannot be copied: its constructor takes other arguments than it keeps."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


@dataclass
class Bad(Squares):
    """Raises at step 3."""

    error: str = "value"

    def __getitem__(self, step: int) -> tuple[int, np.ndarray]:
        if step == 3:
            raise {
                "value": ValueError("odd voxels"),
                "file": ImageFileError("a.nii.gz: truncated"),
                "custom": CustomError(1, 2),
                "memory": MemoryError(),
            }[self.error]
        return super().__getitem__(step)


class Unsendable(Squares):
    """Gives what cannot be pickled."""

    def __getitem__(self, step: int) -> tuple[int, Any]:
        return step, (lambda: step) if step == 1 else 0


@dataclass
class Exits(Squares):
    """Leaves the process at step 2, always."""

    def __getitem__(self, step: int) -> tuple[int, np.ndarray]:
        if step == 2:
            os._exit(7)
        return super().__getitem__(step)


class Unloadable(Squares):
    """Cannot be made from its pickle."""

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return int, ("no number",)


class Pinnable:
    """Notes that it was pinned."""

    pinned = False

    def pin_memory(self) -> Pinnable:
        self.pinned = True
        return self


class Pins(Squares):
    def __getitem__(self, step: int) -> Pinnable:  # type: ignore[override]
        return Pinnable()
