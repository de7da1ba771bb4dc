"""Trainings of folds in processes of their own, several at a time.

A child reads what to train from its standard input and tells its progress on its standard output, a JSON object on each
line. It is in a session of its own, so that Ctrl-C reaches it once, from the parent, and not from the terminal as well.
When the parent is gone its input ends, and it saves and leaves.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

    from goodfit.commands.side_by_side import Slots
    from goodfit.observer import Observer

_POLL_SECONDS = 0.2
_TAIL = 4000  # characters of a child's log that a message shows


@dataclass(frozen=True)
class FoldJob:
    """One training.

    Attributes:
        name: of the fold.
        log: file that receives what the child writes on its standard error.
        spec: what the child reads: dataset, run, settings, recipe, split, plan.
    """

    name: str
    log: Path
    spec: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        finished: it is trained and scored.
        error: what went wrong, or None; neither finished nor wrong is interrupted.
    """

    finished: bool
    error: str | None = None


@dataclass
class _Child:
    job: FoldJob
    slot: int
    process: subprocess.Popen[str]
    listener: threading.Thread
    outcome: Outcome | None = None
    step: int = 0
    expected: int = 0


def train_in_processes(
    jobs: Sequence[FoldJob], slots: Slots, observer: Observer, on_end: Callable[[str], None]
) -> tuple[dict[str, Outcome], bool]:
    """Train the folds, as many at a time as there are slots.

    A fold that fails leaves the others alone. SIGINT and SIGTERM are passed on to every training that runs; no other is
    begun after that.

    Args:
        jobs: the folds, in order.
        slots: where they run.
        observer: told about all of them: notes say which fold they are of.
        on_end: called with the name of each fold that has ended, in the calling thread.

    Returns:
        How each ended (those never begun are left out), and whether a signal came.
    """
    waiting = deque(jobs)
    free = deque(range(slots.count))
    running: dict[str, _Child] = {}
    outcomes: dict[str, Outcome] = {}
    done: dict[str, tuple[int, int]] = {}
    events: queue.SimpleQueue[tuple[str, dict[str, Any] | None]] = queue.SimpleQueue()
    with _signals() as signals:
        passed: list[int] = []
        try:
            while running or (waiting and not signals):
                while waiting and free and not signals:
                    child = _start(waiting.popleft(), free.popleft(), slots, events)
                    running[child.job.name] = child
                for number in signals[len(passed) :]:
                    passed.append(_told_apart(number, passed[-1:]))
                    for child in running.values():
                        child.process.send_signal(passed[-1])
                try:
                    name, event = events.get(timeout=_POLL_SECONDS)
                except queue.Empty:
                    continue
                child = running[name]
                if event is not None:
                    _tell(child, event, observer)
                    done[name] = child.step, child.expected
                    observer.advance(*_together(done, len(jobs)))
                    continue
                outcomes[name] = _end(child, asked=bool(signals))
                del running[name]
                free.append(child.slot)
                on_end(name)
        finally:
            for child in running.values():
                _leave(child)
    return outcomes, bool(signals)


def _told_apart(number: int, before: Sequence[int]) -> int:
    """Give the signal to pass on: two of one kind that come before the child looks count as one, two kinds do not."""
    if number not in before:
        return number
    return signal.SIGTERM if number == signal.SIGINT else signal.SIGINT


def _start(
    job: FoldJob, slot: int, slots: Slots, events: queue.SimpleQueue[tuple[str, dict[str, Any] | None]]
) -> _Child:
    job.log.parent.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ)
    if slots.threads is not None:
        environment["OMP_NUM_THREADS"] = environment["MKL_NUM_THREADS"] = str(slots.threads)
    with job.log.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "goodfit.commands.fold_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            env=environment,
            start_new_session=True,
        )
    settings = {**job.spec["settings"], "machine.device": slots.devices[slot]}
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):  # a child that died at once; its log says why
        process.stdin.write(json.dumps({**job.spec, "settings": settings}) + "\n")
        process.stdin.flush()  # and left open: its end tells the child that the parent is gone
    listener = threading.Thread(target=_listen, args=(job.name, process.stdout, events), daemon=True)
    listener.start()
    return _Child(job, slot, process, listener)


def _listen(name: str, stream: IO[str], events: queue.SimpleQueue[tuple[str, dict[str, Any] | None]]) -> None:
    for line in stream:
        events.put((name, json.loads(line)))
    events.put((name, None))


def _tell(child: _Child, event: dict[str, Any], observer: Observer) -> None:
    if "note" in event:
        observer.note(f"fold {child.job.name}: {event['note']}")
    elif "step" in event:
        child.step, child.expected = event["step"], event["expected"]
    elif "outcome" in event:
        child.outcome = Outcome(event["outcome"] == "finished", event.get("error"))


def _together(done: Mapping[str, tuple[int, int]], jobs: int) -> tuple[int, int]:
    """Steps of all trainings; those that have not begun are taken for as long as the others."""
    expected = [total for _, total in done.values() if total]
    mean = sum(expected) // len(expected) if expected else 1
    return sum(step for step, _ in done.values()), max(1, sum(expected) + mean * (jobs - len(expected)))


def _end(child: _Child, *, asked: bool) -> Outcome:
    """Wait for a child whose output has ended; one that died without a word has its log's last lines as error."""
    code = _leave(child)
    if child.outcome is not None:
        return child.outcome
    if asked and -code in (signal.SIGINT, signal.SIGTERM):
        return Outcome(False)  # the signal came before the training could take it
    said = child.job.log.read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip()
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    return Outcome(False, f"its process ended with {how}. {child.job.log} says:\n{said or '(nothing)'}")


def _leave(child: _Child) -> int:
    """End a child's input, at which it saves and leaves if it still trains, and wait for it."""
    assert child.process.stdin is not None
    assert child.process.stdout is not None
    with suppress(BrokenPipeError):
        child.process.stdin.close()
    code = child.process.wait()
    child.listener.join()
    child.process.stdout.close()
    return code


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in place of obeying them; outside the main thread Python delivers none."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
