"""Children that train: progress, failures, signals."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from goodfit.commands import fold_process as module
from goodfit.commands.fold_process import FoldJob, train_in_processes
from goodfit.commands.side_by_side import Slots

if TYPE_CHECKING:
    from pathlib import Path

CHILD = """
import json, os, signal, sys, time
spec = json.loads(sys.stdin.readline())
def tell(**event): print(json.dumps(event), flush=True)
tell(note="threads " + os.environ.get("OMP_NUM_THREADS", "-") + " on " + spec["settings"]["machine.device"])
way = spec["way"]
if way == "dies":
    print("out of memory", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
if way == "waits":
    asked = []
    signal.signal(signal.SIGINT, lambda number, _: asked.append(number))
    open(spec["ready"], "w").close()
    while not asked:
        time.sleep(0.02)
    tell(outcome="finished")
if way == "busy":
    asked, both = [], {signal.SIGINT, signal.SIGTERM}
    for number in both:
        signal.signal(number, lambda number, _: asked.append(number))
    signal.pthread_sigmask(signal.SIG_BLOCK, both)
    open(spec["ready"], "w").close()
    while not os.path.exists(spec["left"]):
        time.sleep(0.02)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, both)
    end = time.monotonic() + 30
    while len(asked) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    if len(asked) == 2:
        tell(outcome="finished")
if way == "leaves":
    open(spec["ready"], "w").close()
    sys.stdin.read()
    open(spec["left"], "w").close()
if way == "fails":
    tell(outcome="failed", error="fold is too small")
if way == "good":
    tell(step=5, expected=10)
    tell(step=10, expected=10)
    tell(outcome="finished")
"""


@pytest.fixture(autouse=True)
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small child in the place of a training."""
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    real = module.subprocess.Popen

    def start(command: list[str], **options: Any) -> Any:
        assert command[1:] == ["-m", "goodfit.commands.fold_worker"]
        return real([sys.executable, str(script)], **options)

    monkeypatch.setattr(module.subprocess, "Popen", start)


def job(tmp_path: Path, name: str, way: str) -> FoldJob:
    spec = {"way": way, "settings": {"a": 1}, "ready": str(tmp_path / f"ready{name}"), "left": str(tmp_path / "left")}
    return FoldJob(name, tmp_path / f"fold_{name}.log", spec)


def slots(count: int) -> Slots:
    return Slots(tuple(f"cuda:{index}" for index in range(count)), 3, "")


def test_a_fold_that_dies_or_fails_leaves_the_others_alone(tmp_path: Path, listener: Any) -> None:
    jobs = [job(tmp_path, name, way) for name, way in (("0", "dies"), ("1", "good"), ("2", "fails"), ("3", "good"))]
    ended: list[str] = []
    outcomes, interrupted = train_in_processes(jobs, slots(2), listener, ended.append)
    assert not interrupted
    assert sorted(ended) == ["0", "1", "2", "3"]
    assert outcomes["1"].finished
    assert outcomes["3"].finished
    assert outcomes["2"].error == "fold is too small"
    assert outcomes["0"].error is not None
    assert "signal SIGKILL" in outcomes["0"].error
    assert "out of memory" in outcomes["0"].error
    devices = {note.split(" on ")[1] for note in listener.notes}
    assert devices == {"cuda:0", "cuda:1"}
    assert all("threads 3" in note for note in listener.notes)
    assert listener.notes[0].startswith("fold ")
    assert listener.progress[-1][0] == 20


def wait_for(*files: Path) -> None:
    deadline = time.monotonic() + 60
    while not all(file.exists() for file in files):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_ctrl_c_reaches_every_running_fold_and_begins_no_other(tmp_path: Path, listener: Any) -> None:
    jobs = [job(tmp_path, "0", "waits"), job(tmp_path, "1", "waits"), job(tmp_path, "2", "good")]
    before = signal.getsignal(signal.SIGINT)

    def interrupt() -> None:
        wait_for(tmp_path / "ready0", tmp_path / "ready1")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    outcomes, interrupted = train_in_processes(jobs, slots(2), listener, lambda _: None)
    thread.join()
    assert interrupted
    assert {name: outcome.finished for name, outcome in outcomes.items()} == {"0": True, "1": True}
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_counts_though_the_fold_has_not_seen_the_first(tmp_path: Path, listener: Any) -> None:
    def interrupt() -> None:
        wait_for(tmp_path / "ready0")
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)
        (tmp_path / "left").touch()

    thread = threading.Thread(target=interrupt)
    thread.start()
    outcomes, interrupted = train_in_processes([job(tmp_path, "0", "busy")], slots(1), listener, lambda _: None)
    thread.join()
    assert interrupted
    assert outcomes["0"].finished


def test_children_leave_when_the_parent_breaks_off(tmp_path: Path, listener: Any) -> None:
    jobs = [job(tmp_path, "0", "leaves"), job(tmp_path, "1", "good")]

    def fail(name: str) -> None:
        wait_for(tmp_path / "ready0")
        raise OSError(name)

    with pytest.raises(OSError, match="1"):
        train_in_processes(jobs, slots(2), listener, fail)
    assert (tmp_path / "left").exists()


def test_outside_the_main_thread_signals_stay_as_they_are(tmp_path: Path, listener: Any) -> None:
    found: list[Any] = []
    thread = threading.Thread(
        target=lambda: found.append(
            train_in_processes([job(tmp_path, "0", "good")], slots(1), listener, lambda _: None)
        )
    )
    thread.start()
    thread.join()
    assert found[0][0]["0"].finished
