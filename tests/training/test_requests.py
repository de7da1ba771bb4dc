"""Wishes to end a training."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from goodfit.training import requests
from goodfit.training.requests import LeaveError, StopRequests, ask_to_stop

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "POLL_SECONDS", 0.0)


def send(*numbers: signal.Signals) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_asks_for_the_cooldown_two_for_leaving(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopRequests(tmp_path / "stop.json") as wanted:
        assert wanted.wish == "none"
        send(number)
        assert wanted.wish == "cooldown"
        assert wanted.reason == f"{number.name} received"
        wanted.leave_if_asked()
        send(number)
        assert wanted.wish == "leave"
        with pytest.raises(LeaveError):
            wanted.leave_if_asked()
    assert signal.getsignal(number) is before


def test_a_third_ctrl_c_interrupts_at_once(tmp_path: Path) -> None:
    with StopRequests(tmp_path / "stop.json"):
        send(signal.SIGINT, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_with_grace_a_sigterm_asks_for_leaving_and_ctrl_c_does_not(tmp_path: Path) -> None:
    with StopRequests(tmp_path / "stop.json", grace=60) as wanted:
        send(signal.SIGINT)
        assert wanted.wish == "cooldown"
    with StopRequests(tmp_path / "stop.json", grace=60) as wanted:
        send(signal.SIGTERM)
        assert wanted.wish == "leave"


@pytest.mark.parametrize(("now", "wish"), [(False, "cooldown"), (True, "leave")])
def test_a_file_is_heard_and_removed(tmp_path: Path, now: bool, wish: str) -> None:
    file = tmp_path / "stop.json"
    with StopRequests(file) as wanted:
        assert wanted.wish == "none"
        ask_to_stop(file, now=now)
        assert wanted.wish == wish
        assert "goodfit stop" in wanted.reason
    assert not file.exists()


def test_a_file_written_while_the_training_was_prepared_is_heard(tmp_path: Path) -> None:
    file = tmp_path / "stop.json"
    ask_to_stop(file, now=True)
    with StopRequests(file) as wanted:
        assert wanted.wish == "leave"
    assert not file.exists()


def test_a_file_that_is_half_written_is_looked_at_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "stop.json"
    with StopRequests(file) as wanted:
        file.write_text("{")
        assert wanted.wish == "none"
        assert "not valid JSON" in caplog.text
        ask_to_stop(file, now=False)
        assert wanted.wish == "cooldown"


def test_the_file_is_looked_for_once_a_second_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "POLL_SECONDS", 1000.0)
    with StopRequests(tmp_path / "stop.json") as wanted:
        assert wanted.wish == "none"
        ask_to_stop(tmp_path / "stop.json", now=True)
        assert wanted.wish == "none"


def test_other_threads_hear_the_file_only(tmp_path: Path) -> None:
    heard: list[str] = []

    def work() -> None:
        with StopRequests(tmp_path / "stop.json") as wanted:
            heard.append(wanted.wish)
            ask_to_stop(tmp_path / "stop.json", now=False)
            heard.append(wanted.wish)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert heard == ["none", "cooldown"]
