"""The loader's processes as the training process sees them: a nursery and the workers it forks."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from goodfit.errors import ResourceError, SettingsError
from goodfit.training.loading.nursery import Failure, Fork, Wait
from goodfit.training.loading.transport import receive, send
from goodfit.training.loading.worker_death import cause_of_death
from goodfit.training.watching.host_memory import host_memory

if TYPE_CHECKING:
    from torch.utils.data import Dataset

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from goodfit.training.loading.nursery import serve; serve(int(sys.argv[1]))"
)
_CLOSE_SECONDS = 10.0


class _Nursery:
    """One nursery process.

    Args:
        pickled: the dataset.
    """

    def __init__(self, pickled: bytes) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(theirs.fileno()), json.dumps(sys.path)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches all of a terminal's processes, also while they start
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        try:
            send(self._control, pickled)
            answer = receive(self._control)
        except (EOFError, OSError) as error:
            self.close()
            cause = cause_of_death(self._process.returncode, 0, host_memory())
            raise ResourceError(
                f"the loader's processes did not start: the first {cause}. "
                "`goodfit resume` goes on from the last checkpoint; --workers 0 does without them."
            ) from error
        except BaseException:
            self.close()
            raise
        if isinstance(answer, Failure):
            self.close()
            raise SettingsError(
                "machine.workers: a loader worker cannot make the dataset from its pickle. Define its class in a "
                f"module that can be imported, not in the script that is run; or use --workers 0.\n{answer.trace}"
            ) from answer.error

    def fork(self) -> tuple[int, socket.socket]:
        """Start a worker; give its process id and our end of its socket.

        Raises:
            OSError, EOFError: the nursery is gone.
            ResourceError: the system refuses.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                send(self._control, Fork())
                socket.send_fds(self._control, [b"."], [theirs.fileno()])
                answer = receive(self._control)
        except BaseException:
            ours.close()
            raise
        if isinstance(answer, Failure):
            ours.close()
            raise ResourceError(
                f"the system refuses another loader worker ({answer.error}). Use fewer, for instance --workers 1."
            ) from answer.error
        return int(answer), ours

    def exit_code(self, process: int) -> int | None:
        """Wait for the end of a worker; None where the nursery cannot tell, since it is gone, too."""
        with suppress(EOFError, OSError):
            send(self._control, Wait(process))
            return int(receive(self._control))
        return None

    def close(self) -> None:
        """End the nursery and with it all its workers, also in the middle of their work."""
        self._control.close()
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass
class Worker:
    """One worker.

    Attributes:
        number: 0 to workers - 1.
        process: its process id.
        orders: our end of its socket.
        steps: those it was asked for and has not answered, in order.
    """

    number: int
    process: int
    orders: socket.socket
    nursery: _Nursery
    steps: deque[int] = field(default_factory=deque)

    def ask(self, step: int) -> None:
        """Ask for a step; a dead worker shows when its answer is read."""
        self.steps.append(step)
        with suppress(OSError):
            send(self.orders, step)


class Crew:
    """All workers of a loader; started when first asked for.

    Args:
        dataset: has to be picklable.
        size: number of workers, at least 1.
    """

    def __init__(self, dataset: Dataset[Any], size: int) -> None:
        self._dataset, self._size = dataset, size
        self._nursery: _Nursery | None = None
        self._workers: list[Worker] = []

    @property
    def workers(self) -> list[Worker]:
        """The workers.

        Raises:
            ResourceError: they cannot be started.
            SettingsError: the dataset cannot be sent to them.
        """
        while len(self._workers) < self._size:
            self._workers.append(self._start(len(self._workers)))
        return self._workers

    def answering(self, timeout: float | None) -> list[Worker]:
        """Wait until a worker has answered, or died, or the seconds are over; give all that have."""
        readable = set(wait([worker.orders for worker in self.workers], timeout))
        return [worker for worker in self._workers if worker.orders in readable]

    def replace(self, dead: Worker) -> None:
        """Start another worker in the place of a dead one, with the same steps to make."""
        worker = self._workers[dead.number] = self._start(dead.number)
        for step in dead.steps:
            worker.ask(step)

    def bury(self, dead: Worker) -> int | None:
        """Give the exit code of a dead worker, that of the signal negated; None where nobody knows it."""
        dead.orders.close()
        return dead.nursery.exit_code(dead.process)

    def _start(self, number: int) -> Worker:
        if self._nursery is not None:
            with suppress(EOFError, OSError):
                return Worker(number, *self._nursery.fork(), self._nursery)
            self._nursery.close()
        self._nursery = _Nursery(pickle.dumps(self._dataset))
        return Worker(number, *self._nursery.fork(), self._nursery)

    def close(self) -> None:
        """End all processes; they start again when they are needed."""
        for worker in self._workers:
            worker.orders.close()
        self._workers.clear()
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None
