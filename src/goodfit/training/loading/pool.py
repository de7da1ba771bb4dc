"""Batches made ahead by worker processes: always in the same order, also when workers die."""

from __future__ import annotations

import logging
import traceback
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

from goodfit.errors import DatasetError, GoodfitError, ResourceError
from goodfit.training.loading.crew import Crew
from goodfit.training.loading.nursery import Failure
from goodfit.training.loading.transport import receive
from goodfit.training.loading.worker_death import cause_of_death, way_out
from goodfit.training.watching.host_memory import host_memory, memory_kills

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from torch.utils.data import Dataset

    from goodfit.training.loading.crew import Worker

logger = logging.getLogger(__name__)

T = TypeVar("T")

AHEAD = 2
"""Steps that each worker is asked for at once."""


@runtime_checkable
class NamesCases(Protocol):
    """A dataset that can tell which cases a step uses, for messages."""

    def cases_of(self, step: int) -> Sequence[str]:
        """Names of the cases of a step, without reading any."""
        ...


class WorkerError(Exception):
    """Shows where an exception happened in another process."""


class LoaderPool(Generic[T]):
    """Makes the batches of a training in worker processes, which stay from epoch to epoch.

    Workers start with the first batch: the first needs two seconds, most of them to import torch, each other a few
    milliseconds. They end with ``close``, when the pool is no longer used, or when this process ends in any way.
    POSIX only, except with no workers.

    Args:
        dataset: ``dataset[step]`` is a pure function of the step. With workers it has to be picklable, and its class
            importable from a module; arrays and CPU tensors in what it gives come through shared memory.
        workers: processes; 0 makes each batch in this process when it is asked for.
        pin_memory: put batches into page-locked memory, by their own method ``pin_memory``, in a thread; has an
            effect only where there is a GPU.
        restarts: dead workers that are replaced during one call of ``batches``.
    """

    def __init__(self, dataset: Dataset[T], *, workers: int, pin_memory: bool = False, restarts: int = 3) -> None:
        self._dataset, self._size, self._restarts = dataset, workers, restarts
        self._crew = Crew(dataset, workers)
        self._pinning = _pinning_thread() if pin_memory else None
        self._ready: dict[int, Any] = {}
        self._call = self._next = self._deaths = 0
        self._kills = memory_kills()
        weakref.finalize(self, self._crew.close)

    def batches(self, first_step: int, last_step: int) -> Iterator[T]:
        """Give ``dataset[step]`` for the steps ``first_step`` to ``last_step - 1``, the same for any number of workers.

        A new call ends the one before.

        Raises:
            DatasetError: the dataset raised; names the step, its cases, and has the traceback. A ``GoodfitError``
                keeps its class.
            ResourceError: more workers died than may be replaced, or memory did not suffice for a batch.
        """
        self._call += 1
        call = self._call
        self._deaths = 0
        self._next = first_step
        self._ready.clear()
        try:
            for step in range(first_step, last_step):
                if call != self._call:
                    raise RuntimeError("these batches have ended: the loader was asked for others")
                yield self._make(step) if self._size == 0 else self._take(step, last_step)
        finally:
            if call == self._call:
                self._ready.clear()

    def close(self) -> None:
        """End all processes; a later call of ``batches`` starts them again."""
        self._ready.clear()
        self._crew.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make(self, step: int) -> T:
        """Make a batch in this process."""
        try:
            value = self._dataset[step]
        except Exception as error:  # any: told with its step and cases
            trace = "".join(traceback.format_exception(error))
            raise _failed(self._dataset, step, trace, error) from error
        return value if self._pinning is None else _pinned(value)

    def _take(self, step: int, last_step: int) -> T:
        """Give the batch of a step as soon as a worker has made it."""
        try:
            self._hand_out(step, last_step)
            self._collect(step, last_step, timeout=0)  # what came meanwhile can be pinned meanwhile
            while step not in self._ready:
                self._hand_out(step, last_step)
                self._collect(step, last_step, timeout=None)
        except BaseException:
            self.close()  # a message may be half read
            raise
        value = self._ready.pop(step)
        if isinstance(value, Failure):
            if value.error is not None:
                value.error.__cause__ = WorkerError(value.trace)
            raise _failed(self._dataset, step, value.trace, value.error) from value.error
        batch: T = value.result() if isinstance(value, Future) else value
        return batch

    def _hand_out(self, step: int, last_step: int) -> None:
        """Ask for the next steps whoever has least to do."""
        while self._next < min(last_step, step + AHEAD * self._size):
            worker = min(self._crew.workers, key=lambda worker: len(worker.steps))
            if len(worker.steps) >= AHEAD:
                return
            worker.ask(self._next)
            self._next += 1

    def _collect(self, step: int, last_step: int, timeout: float | None) -> None:
        """Take in what workers have made; replace those that have died."""
        for worker in self._crew.answering(timeout):
            try:
                answer = receive(worker.orders)
            except (EOFError, OSError):
                self._replace(worker)
                continue
            worker.steps.popleft()
            if step <= answer.step < last_step:  # else a batch for a call that has ended
                self._ready[answer.step] = self._pinned_later(answer.value)

    def _pinned_later(self, value: Any) -> Any:
        if self._pinning is None or isinstance(value, Failure):
            return value
        return self._pinning.submit(_pinned, value)

    def _replace(self, dead: Worker) -> None:
        code = self._crew.bury(dead)
        kills = memory_kills()
        cause = cause_of_death(code, kills - self._kills, host_memory())
        self._kills = kills
        self._deaths += 1
        doing = "idle" if not dead.steps else f"at work on {_named(self._dataset, dead.steps[0])}"
        what = f"loader worker {dead.number} (process {dead.process}), {doing}, {cause}."
        if self._deaths > self._restarts:
            raise ResourceError(
                f"{what} It was number {self._deaths} to die in this epoch, and the run ends here. `goodfit resume` "
                f"goes on from the last checkpoint. {way_out(code, self._size)}"
            )
        logger.warning(
            "%s Another goes on with the same step (%d of at most %d in an epoch). %s",
            what,
            self._deaths,
            self._restarts,
            way_out(code, self._size),
        )
        self._crew.replace(dead)


def ordered_batches(
    dataset: Dataset[T],
    *,
    first_step: int,
    last_step: int,
    workers: int,
    pin_memory: bool = False,
    restarts: int = 3,
) -> Iterator[T]:
    """Give ``dataset[step]`` for some steps, in order, from workers that end with the iteration.

    See :class:`LoaderPool`, which keeps its workers, for arguments and errors.
    """
    with LoaderPool(dataset, workers=workers, pin_memory=pin_memory, restarts=restarts) as pool:
        yield from pool.batches(first_step, last_step)


def _pinning_thread() -> ThreadPoolExecutor | None:
    import torch

    if not torch.cuda.is_available():
        return None
    # Without the device, a thread would take memory of the first GPU.
    return ThreadPoolExecutor(1, "pin-memory", torch.cuda.set_device, (torch.cuda.current_device(),))


def _pinned(batch: Any) -> Any:
    return batch.pin_memory()


def _named(dataset: Dataset[Any], step: int) -> str:
    """Name a step and, where the dataset tells, its cases."""
    if not isinstance(dataset, NamesCases):
        return f"step {step}"
    return f"step {step} (cases {', '.join(dict.fromkeys(dataset.cases_of(step)))})"


def _failed(dataset: Dataset[Any], step: int, trace: str, error: Exception | None) -> GoodfitError:
    """Say what could not be made; a user's error keeps its class and needs no traceback."""
    where = _named(dataset, step)
    if isinstance(error, GoodfitError):
        return type(error)(f"{where}: {error}")
    if isinstance(error, MemoryError):
        return ResourceError(
            f"{where}: memory does not suffice to make the batch. Use fewer --workers or a smaller --batch-size."
        )
    return DatasetError(f"{where}: the batch cannot be made; look at the cases with `goodfit check`.\n{trace}")
