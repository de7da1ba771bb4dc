"""Timing steps: how many, and what they leave behind."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch

from goodfit.tasks.segmentation import step_time as module
from goodfit.tasks.segmentation.step_time import LONG_ENOUGH, MOST_STEPS, time_step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from goodfit.planning.plan import Plan

CPU = torch.device("cpu")


class Clock:
    """Steps take the given seconds, the last of them for ever."""

    def __init__(self, *seconds: float) -> None:
        self.steps = 0
        self._times = self._ticks(seconds)

    def _ticks(self, seconds: tuple[float, ...]) -> Iterator[float]:
        now = 100.0
        for length in itertools.chain(seconds, itertools.repeat(seconds[-1])):
            yield now
            now += length
            self.steps += 1
            yield now

    def perf_counter(self) -> float:
        return next(self._times)


@pytest.fixture
def timed(tiny_plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[float, int]]:
    """Give the seconds that ``time_step`` says and the steps it took, by a clock of its own."""

    def run(*seconds: float) -> tuple[float, int]:
        plan, clock = tiny_plan(), Clock(*seconds)
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=clock.perf_counter))
        return time_step(plan.chosen, plan.data, plan.training, CPU), clock.steps

    return run


def test_a_real_step_takes_time(tiny_plan: Callable[..., Plan]) -> None:
    plan = tiny_plan(training={"optimizer": "sgd"})
    assert time_step(plan.chosen, plan.data, plan.training, CPU) > 0


def test_regions_and_bfloat16_are_timed_too(tiny_plan: Callable[..., Plan]) -> None:
    plan = tiny_plan(
        data={"classes": {"whole": [1, 2], "core": [2]}, "regions_order": [1, 2]}, training={"precision": "bfloat16"}
    )
    assert time_step(plan.chosen, plan.data, plan.training, CPU) > 0


def test_the_random_state_is_as_before(tiny_plan: Callable[..., Plan]) -> None:
    plan = tiny_plan()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    time_step(plan.chosen, plan.data, plan.training, CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_short_steps_are_all_timed(timed: Callable[..., tuple[float, int]]) -> None:
    assert timed(5.0, LONG_ENOUGH / 100) == (pytest.approx(LONG_ENOUGH / 100), 1 + MOST_STEPS)


def test_timing_ends_once_it_took_long_enough(timed: Callable[..., tuple[float, int]]) -> None:
    assert timed(9.0, 0.4 * LONG_ENOUGH) == (pytest.approx(0.4 * LONG_ENOUGH), 1 + 3)


def test_however_long_steps_are_two_are_timed(timed: Callable[..., tuple[float, int]]) -> None:
    assert timed(90.0, 10 * LONG_ENOUGH) == (pytest.approx(10 * LONG_ENOUGH), 1 + 2)


def test_the_fastest_counts_and_the_first_never_does(timed: Callable[..., tuple[float, int]]) -> None:
    assert timed(0.001, 0.5, 0.1, 0.3)[0] == pytest.approx(0.1)
