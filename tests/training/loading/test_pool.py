"""Tests of the loader: one order, whatever happens to the workers; and no process left behind."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
import torch

from goodfit.errors import DatasetError, GoodfitError, ImageFileError, ResourceError, SettingsError
from goodfit.training.loading.pool import AHEAD, LoaderPool, ordered_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

HERE = Path(__file__).parent


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The datasets, importable by workers, too."""
    monkeypatch.syspath_prepend(HERE)
    import loader_datasets

    return loader_datasets


@pytest.fixture(autouse=True)
def _nobody_stays() -> Iterator[None]:
    yield
    gc.collect()
    assert psutil.Process().children(recursive=True) == []


def numbers(batches: Any) -> list[int]:
    """Steps of batches, whose content is looked at."""
    found = []
    for step, array in batches:
        assert array.shape == (step % 3, 5)
        assert (array == step).all()
        found.append(step)
    return found


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """The loader workers below a process: children of its nursery."""
    return [worker for nursery in process.children() for worker in nursery.children()]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_same_for_any_number_of_workers(data: ModuleType, workers: int) -> None:
    states = torch.get_rng_state(), random.getstate()
    assert numbers(ordered_batches(data.Squares(), first_step=2, last_step=30, workers=workers)) == list(range(2, 30))
    assert list(ordered_batches(data.Squares(), first_step=5, last_step=5, workers=workers)) == []
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]


def test_tensors_of_all_kinds(data: ModuleType) -> None:
    import tensor_dataset

    dataset = tensor_dataset.Tensors()
    (given,) = ordered_batches(dataset, first_step=4, last_step=5, workers=1)
    gc.collect()
    assert psutil.Process().children() == []
    wanted = dataset[4]
    assert given.pop("threads") == 1
    for name, value in given.items():
        if isinstance(value, torch.Tensor):
            assert (value.dtype, value.shape, value.layout) == (
                wanted[name].dtype,
                wanted[name].shape,
                wanted[name].layout,
            )
            assert torch.equal(value.to_dense(), wanted[name].to_dense())
            assert value.requires_grad == (name == "leaf")
    assert np.array_equal(given["array"], wanted["array"])
    assert given["strings"].tolist() == ["a", "bc"]
    assert torch.equal(given["nested"][0][0], wanted["nested"][0][0])
    # What came may be changed in place, and outlives its worker.
    given["array"] += 1
    given["integers"] *= 2
    assert torch.equal(given["integers"], 2 * wanted["integers"])


def test_workers_stay_between_calls(data: ModuleType) -> None:
    with LoaderPool(data.Squares(), workers=2) as pool:
        assert numbers(pool.batches(0, 5)) == list(range(5))
        first = workers_of(psutil.Process())
        assert len(first) == 2
        assert numbers(itertools.islice(pool.batches(5, 50), 3)) == [5, 6, 7]
        # Back to an earlier step, while batches of the call before are still on their way.
        assert numbers(pool.batches(3, 12)) == list(range(3, 12))
        assert workers_of(psutil.Process()) == first
    assert psutil.Process().children() == []
    assert numbers(pool.batches(0, 3)) == [0, 1, 2]
    pool.close()


def test_a_new_call_ends_the_one_before(data: ModuleType) -> None:
    pool = LoaderPool(data.Squares(), workers=0)
    old = pool.batches(0, 5)
    next(old)
    assert numbers(pool.batches(7, 9)) == [7, 8]
    with pytest.raises(RuntimeError, match="asked for others"):
        next(old)


def test_only_a_few_batches_are_made_ahead(data: ModuleType, tmp_path: Path) -> None:
    steps = tuple(range(2 * AHEAD, 100))
    batches = ordered_batches(data.KilledOnce(tmp_path, steps), first_step=0, last_step=100, workers=2)
    assert next(batches)[0] == 0
    time.sleep(0.3)
    batches.close()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_worker_is_replaced(data: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    batches = ordered_batches(data.Squares(pause=0.01), first_step=0, last_step=40, workers=3)
    found = numbers(itertools.islice(batches, 5))
    victim = workers_of(psutil.Process())[1]
    victim.kill()
    found += numbers(batches)
    assert found == list(range(40))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"loader worker 1 (process {victim.pid}), " in record.message
    assert "was killed by signal 9 (SIGKILL: Killed)" in record.message
    assert "memory" in record.message
    assert "GB" in record.message
    assert "--workers 1" in record.message


def test_the_step_and_cases_of_a_killed_worker_are_named(
    data: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = data.KilledOnce(tmp_path, (6, 11), number=signal.SIGSEGV)
    assert numbers(ordered_batches(dataset, first_step=0, last_step=20, workers=2)) == list(range(20))
    first, second = (record.message for record in caplog.records)
    assert "at work on step 6 (cases case_6, other), was killed by signal 11 (SIGSEGV" in first
    assert (tmp_path / "6-0").read_text() in first
    assert "goodfit check" in first
    assert "step 11" in second
    assert "(2 of at most 3 in an epoch)" in second


def test_the_nursery_may_be_killed_too(data: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    batches = ordered_batches(data.Squares(pause=0.01), first_step=0, last_step=30, workers=2)
    found = numbers(itertools.islice(batches, 3))
    (nursery,) = psutil.Process().children()
    workers = nursery.children()
    nursery.kill()
    nursery.wait()
    found += numbers(itertools.islice(batches, 3))
    for worker in workers:
        worker.kill()
    assert found + numbers(batches) == list(range(30))
    assert len(caplog.records) == 2
    assert "for an unknown reason" in caplog.text


def test_too_many_deaths(data: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    batches = ordered_batches(
        data.KilledOnce(tmp_path, (4,), times=9), first_step=0, last_step=9, workers=2, restarts=2
    )
    assert numbers(itertools.islice(batches, 4)) == [0, 1, 2, 3]
    with pytest.raises(ResourceError, match="number 3 to die") as caught:
        next(batches)
    assert len(caplog.records) == 2
    for part in ("step 4 (cases case_4, other)", "SIGKILL", "goodfit resume", "--workers 1"):
        assert part in str(caught.value)


def test_deaths_are_counted_anew_in_each_call(data: ModuleType, tmp_path: Path) -> None:
    with LoaderPool(data.KilledOnce(tmp_path, (1, 3)), workers=1, restarts=1) as pool:
        assert numbers(pool.batches(0, 2)) == [0, 1]
        assert numbers(pool.batches(2, 4)) == [2, 3]


def test_a_worker_that_exits(data: ModuleType) -> None:
    with pytest.raises(ResourceError, match="exit code 7"):
        numbers(ordered_batches(data.Exits(), first_step=0, last_step=9, workers=1, restarts=1))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("error", "kind", "parts"),
    [
        ("value", DatasetError, ["ValueError: odd voxels", "Traceback", "loader_datasets.py", "goodfit check"]),
        ("custom", DatasetError, ["CustomError: 1 and 2", "Traceback"]),
        ("file", ImageFileError, ["a.nii.gz: truncated"]),
        ("memory", ResourceError, ["memory does not suffice", "--workers"]),
    ],
)
def test_an_exception_in_the_dataset(
    data: ModuleType,
    workers: int,
    error: str,
    kind: type[GoodfitError],
    parts: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    batches = ordered_batches(data.Bad(error=error), first_step=0, last_step=9, workers=workers)
    assert numbers(itertools.islice(batches, 3)) == [0, 1, 2]
    with pytest.raises(kind) as caught:
        next(batches)
    for part in ["step 3 (cases case_3, other)", *parts]:
        assert part in str(caught.value)
    assert ("Traceback" in str(caught.value)) == ("Traceback" in parts)
    assert type(caught.value) is kind
    if error != "custom" or workers == 0:
        cause = caught.value.__cause__
        assert cause is not None
        assert type(cause).__name__ in {"ValueError", "ImageFileError", "MemoryError", "CustomError"}
        assert workers == 0 or "loader_datasets.py" in str(cause.__cause__)
    assert caplog.records == []


def test_a_batch_that_cannot_be_sent(data: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    batches = ordered_batches(data.Unsendable(), first_step=0, last_step=3, workers=1)
    assert next(batches) == (0, 0)
    with pytest.raises(DatasetError, match=r"(?s)step 1 .*lambda"):
        next(batches)
    assert caplog.records == []


def test_a_dataset_that_workers_cannot_make(data: ModuleType) -> None:
    with pytest.raises(SettingsError, match=r"machine\.workers.*--workers 0") as caught:
        list(ordered_batches(data.Unloadable(), first_step=0, last_step=9, workers=1))
    assert "no number" in str(caught.value)


def test_nothing_stays_after_an_exception_in_the_consumer(data: ModuleType) -> None:
    def consume() -> None:
        for _ in ordered_batches(data.Squares(), first_step=0, last_step=9, workers=2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    # The frame of the traceback is gone: closed without a word. The fixture looks for processes.


def test_an_interrupt_while_waiting_ends_the_workers_and_the_pool_can_go_on(data: ModuleType) -> None:
    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    pool = LoaderPool(data.Squares(pause=0.5), workers=2)
    try:
        batches = pool.batches(0, 9)
        next(batches)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            numbers(batches)
        assert psutil.Process().children() == []
        assert numbers(pool.batches(1, 3)) == [1, 2]
    finally:
        signal.signal(signal.SIGALRM, before)
        pool.close()


def test_workers_leave_signals_to_the_training_process(data: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    batches = ordered_batches(data.Squares(pause=0.01), first_step=0, last_step=20, workers=2)
    found = numbers(itertools.islice(batches, 2))
    for process in psutil.Process().children(recursive=True):
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
    assert found + numbers(batches) == list(range(20))
    assert caplog.records == []


PROGRAM = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background would begin with it ignored
from loader_datasets import Squares
from goodfit.training.loading.pool import LoaderPool
pool = LoaderPool(Squares(pause=float(sys.argv[1])), workers=2)
for step, _ in pool.batches(0, 10**6):
    print(step, flush=True)
    if step == int(sys.argv[2]):
        sys.exit("enough")
"""


def program(pause: float, last: int) -> subprocess.Popen[str]:
    """A script that loads, without the guard of ``__main__`` that multiprocessing wants."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(pause), str(last)],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_a_killed_training(data: ModuleType, number: signal.Signals) -> None:
    with program(pause=0.2 if number == signal.SIGINT else 300, last=-1) as process:
        wait_until(lambda: len(workers_of(psutil.Process(process.pid))) == 2)
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) == 3
        if number == signal.SIGINT:
            assert process.stdout is not None
            process.stdout.readline()
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == -number
    gone, alive = psutil.wait_procs(family, timeout=60)
    assert (len(gone), alive) == (3, [])
    # What Ctrl-C prints is the training process's alone.
    assert errors.count("Traceback") == (number == signal.SIGINT)
    assert ("KeyboardInterrupt" in errors) == (number == signal.SIGINT)


def test_a_program_may_end_without_closing(data: ModuleType) -> None:
    with program(pause=0, last=3) as process:
        printed, errors = process.communicate(timeout=60)
    assert (printed, errors, process.returncode) == ("0\n1\n2\n3\n", "enough\n", 1)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_pinned_where_there_is_a_gpu(
    data: ModuleType, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    def pinned() -> list[bool]:
        loader = ordered_batches(data.Pins(), first_step=0, last_step=7, workers=workers, pin_memory=True)
        return [batch.pinned for batch in loader]

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pinned() == [False] * 7
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    assert pinned() == [True] * 7
