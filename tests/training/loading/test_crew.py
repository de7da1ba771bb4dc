"""Tests of the loader's processes; what becomes of batches is in test_loader.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from goodfit.errors import ResourceError
from goodfit.training.loading.crew import Crew
from goodfit.training.loading.transport import receive

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch) -> Iterator[Crew]:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    from loader_datasets import Squares

    crew = Crew(Squares(), 2)
    yield crew
    crew.close()
    assert psutil.Process().children() == []


def test_processes_start_when_needed_and_are_small(crew: Crew) -> None:
    assert psutil.Process().children() == []
    assert [worker.number for worker in crew.workers] == [0, 1]
    (nursery,) = psutil.Process().children()
    assert {process.pid for process in nursery.children()} == {worker.process for worker in crew.workers}


def test_a_worker_answers_in_order(crew: Crew) -> None:
    worker = crew.workers[1]
    assert crew.answering(0) == []
    worker.ask(4)
    worker.ask(2)
    assert crew.answering(None) == [worker]
    assert [receive(worker.orders).step for _ in range(2)] == [4, 2]


def test_another_worker_takes_over(crew: Crew) -> None:
    dead = crew.workers[0]
    psutil.Process(dead.process).kill()
    assert crew.answering(None) == [dead]
    dead.ask(7)
    assert crew.bury(dead) == -9
    crew.replace(dead)
    living = crew.workers[0]
    assert (living.number, list(living.steps)) == (0, [7])
    assert receive(living.orders).step == 7
    assert living.process != dead.process


def test_processes_that_do_not_start(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(ResourceError, match=r"left with exit code 1.*--workers 0"):
        assert crew.workers
