from __future__ import annotations

import threading
import time
from itertools import count
from typing import TYPE_CHECKING

import pytest

from goodfit.errors import VideoError
from goodfit.tasks.instances.video_prediction.workers import Channel, StageCrashError, StageError, Workers

if TYPE_CHECKING:
    from collections.abc import Iterator


def no_more_threads(before: int) -> bool:
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    return threading.active_count() == before


def test_items_go_through_in_order() -> None:
    taken: list[int] = []
    with Workers() as workers:
        numbers: Channel[int] = workers.channel(3)
        squares: Channel[int] = workers.channel(3)
        workers.start("counting", lambda: numbers.fill(range(200)))
        workers.start("squaring", lambda: squares.fill(number**2 for number in numbers))
        workers.run("taking", lambda: taken.extend(squares))
    assert taken == [number**2 for number in range(200)]


def test_channel_that_is_full_makes_its_filler_wait() -> None:
    given: list[int] = []
    with Workers() as workers:
        channel: Channel[int] = workers.channel(4)

        def numbers() -> Iterator[int]:
            for number in range(50):
                given.append(number)
                yield number

        workers.start("counting", lambda: channel.fill(numbers()))
        for taken, _ in enumerate(channel, start=1):
            assert len(given) <= taken + 4 + 1
    assert len(given) == 50


def test_error_in_a_thread_stops_all_and_names_the_work() -> None:
    before = threading.active_count()
    closed = []

    def endless() -> Iterator[int]:
        try:
            yield from count()
        finally:
            closed.append(True)

    def broken(number: int) -> int:
        if number == 7:
            raise ValueError("seven")
        return number

    def work() -> None:
        with Workers() as workers:
            first: Channel[int] = workers.channel(2)
            second: Channel[int] = workers.channel(2)
            workers.start("counting", lambda: first.fill(endless()))
            workers.start("passing on", lambda: second.fill(broken(number) for number in first))
            workers.run("taking", lambda: set(second))

    with pytest.raises(StageCrashError, match=r"passing on failed: ValueError: seven") as caught:
        work()
    assert isinstance(caught.value.__cause__, ValueError)
    assert closed
    assert no_more_threads(before)


@pytest.mark.parametrize("here", [True, False])
def test_error_of_the_user_stays_one(here: bool) -> None:
    def complain() -> None:
        raise VideoError("film.mp4: truncated.")

    def work() -> None:
        with Workers() as workers:
            (workers.run if here else workers.start)("decoding", complain)

    with pytest.raises(StageError, match=r"decoding: film.mp4: truncated\."):
        work()


def test_interrupt_in_the_calling_thread_ends_the_others() -> None:
    before = threading.active_count()

    def work() -> None:
        with Workers() as workers:
            channel: Channel[int] = workers.channel(2)
            workers.start("counting", lambda: channel.fill(count()))
            for number in channel:
                if number == 5:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert no_more_threads(before)


def test_first_of_several_errors_is_raised() -> None:
    gate = threading.Event()

    def first() -> None:
        try:
            raise ValueError("first")
        finally:
            gate.set()

    def second() -> None:
        gate.wait()
        time.sleep(0.05)
        raise ValueError("second")

    def work() -> None:
        with Workers() as workers:
            workers.start("one", first)
            workers.start("two", second)

    with pytest.raises(StageCrashError, match="one failed"):
        work()
