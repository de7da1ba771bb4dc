"""A run's folder: where everything about one training lies, and who may write there."""

from __future__ import annotations

import os
import platform
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from goodfit.errors import RunError, SettingsError
from goodfit.files import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from goodfit.training.controller import Event

IMPORTED = "imported"
"""Status of a run whose model was trained by another program."""
RECORDED_PACKAGES = ("goodfit", "torch", "numpy", "dynamic-network-architectures", "SimpleITK", "blosc2")


@dataclass(frozen=True)
class RunFolder:
    """Paths of the parts of a run."""

    path: Path

    @property
    def plan(self) -> Path:
        """plan.json, the typed plan."""
        return self.path / "plan.json"

    @property
    def splits(self) -> Path:
        """splits.json, which groups train, validate and test."""
        return self.path / "splits.json"

    @property
    def metrics(self) -> Path:
        """metrics.csv, a row per epoch."""
        return self.path / "metrics.csv"

    @property
    def events(self) -> Path:
        """events.json, the controller's transitions with their reasons."""
        return self.path / "events.json"

    @property
    def record(self) -> Path:
        """run.json: dataset, settings, environment, state of the run."""
        return self.path / "run.json"

    @property
    def scores(self) -> Path:
        """scores.json, the evaluation of the test cases."""
        return self.path / "scores.json"

    @property
    def predictions(self) -> Path:
        """Predicted labels of the test cases."""
        return self.path / "predictions"

    @property
    def report(self) -> Path:
        """report.html."""
        return self.path / "report.html"

    @property
    def best(self) -> Path:
        """Averaged weights of the epoch with the best watched metric."""
        return self.path / "checkpoints" / "best.safetensors"

    @property
    def last(self) -> Path:
        """State after the last finished epoch (or the step at which the run was interrupted)."""
        return self.path / "checkpoints" / "last.safetensors"

    @property
    def previous(self) -> Path:
        """What ``last`` was before; read where ``last`` is damaged."""
        return self.path / "checkpoints" / "previous.safetensors"

    @property
    def stop(self) -> Path:
        """stop.json, the wish to end a training; there only until it is heard."""
        return self.path / "stop.json"

    @property
    def stable(self) -> Path:
        """State before the cooldown."""
        return self.path / "checkpoints" / "stable.safetensors"

    def checkpoint(self, name: str) -> Path:
        """Give the checkpoint that a user calls best, last or stable.

        Raises:
            SettingsError: there is no checkpoint of this name.
        """
        paths = {"best": self.best, "last": self.last, "stable": self.stable}
        if name not in paths:
            raise SettingsError(f"checkpoint: there is no {name!r}; write {', '.join(paths)}.")
        return paths[name]

    @property
    def trained(self) -> Path:
        """Plan and split that the weights were trained with."""
        return self.path / "checkpoints" / "trained.json"

    def read_record(self) -> dict[str, Any]:
        """Read run.json.

        Raises:
            RunError: the folder is no run folder.
        """
        if not self.record.is_file():
            raise RunError(f"{self.path}: this is no run folder (it has no run.json). `goodfit train` makes one.")
        value = read_json(self.record, RunError)
        if not isinstance(value, dict):
            raise RunError(f"{self.record}: expected a JSON object. The file was edited or damaged.")
        return value

    def require_trained_here(self) -> dict[str, Any]:
        """Give run.json of a run that goodfit trained.

        Raises:
            RunError: the folder is no run folder, or its model was imported: nothing is there to go on with.
        """
        record = self.read_record()
        if record.get("status") == IMPORTED:
            raise RunError(
                f"{self.path}: this model was imported, so its training cannot go on here. Begin one with its weights: "
                f"goodfit train DATASET --initialise-from {self.path}"
            )
        return record

    def update_record(self, **values: Any) -> None:
        """Add or replace entries of run.json."""
        record = self.read_record() if self.record.is_file() else {}
        write_json(self.record, {**record, **values})

    def read_events(self) -> list[dict[str, Any]]:
        """Read the transitions so far."""
        return list(read_json(self.events, RunError)) if self.events.is_file() else []

    def add_event(self, event: Event) -> None:
        """Append a transition to events.json."""
        write_json(self.events, [*self.read_events(), asdict(event)])

    def keep_events(self, count: int) -> None:
        """Forget all but the first transitions: those after them are of steps that a resumed run makes anew."""
        events = self.read_events()
        if count < len(events):
            write_json(self.events, events[:count])


@contextmanager
def locked(folder: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """Keep other processes out of ``folder`` while the context lasts.

    The lock is the operating system's: it goes with the process, however that ends.

    Args:
        folder: is made where it is not there.
        what: the folder's content, for the message.
        wait: until another process that works in the folder is done, in place of refusing.

    Raises:
        RunError: another process works in the folder; names it.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(folder / ".lock", timeout=-1 if wait else 0), folder / ".owner"
    try:
        lock.acquire()
    except Timeout as error:
        who = owner.read_text(encoding="utf-8").strip() if owner.is_file() else "another process"
        raise RunError(
            f"{folder}: {who} is working on this {what}. Wait for it, stop it, or choose another folder."
        ) from error
    try:
        owner.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()
        if made and {entry.name for entry in folder.iterdir()} <= {".lock"}:
            shutil.rmtree(folder)  # nothing came of it


def environment(device: str, threads: int) -> dict[str, Any]:
    """Describe machine and software, as far as results may depend on them."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "device": device,
        "threads": threads,
        "packages": {name: metadata.version(name) for name in RECORDED_PACKAGES},
    }
