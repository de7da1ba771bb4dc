"""Signals ask the training to leave."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from goodfit.training.interrupt import catching_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_the_old_handler_comes_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with catching_signals() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop
        assert stop.received == number.name
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    with catching_signals():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_other_threads_catch_nothing() -> None:
    caught: list[bool] = []

    def work() -> None:
        with catching_signals() as stop:
            caught.append(bool(stop))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert caught == [False]
