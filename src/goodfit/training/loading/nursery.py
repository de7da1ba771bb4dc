"""The process that loader workers are forked from, and what a worker does.

The nursery is started afresh, unpickles the dataset and never touches it: it has no threads and no GPU, so forking
it is safe at any time, takes milliseconds and shares the memory of the imported libraries. Forking the training
process instead would not be safe, since OpenMP and CUDA run in it; starting each worker afresh would cost 2 s and
280 MB.

All these processes ignore SIGINT and SIGTERM: the training process decides. They leave when it is gone, even when
it was killed, because its end of their sockets closes then.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import socket
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goodfit.training.loading.transport import receive, send

if TYPE_CHECKING:
    from torch.utils.data import Dataset


@dataclass(frozen=True)
class Fork:
    """Asks for a worker, whose end of a socket follows; the answer is its process id, or the failure."""


@dataclass(frozen=True)
class Wait:
    """Asks for the end of a worker; the answer is its exit code, that of the signal negated."""

    process: int


@dataclass(frozen=True)
class Failure:
    """An exception in another process.

    Attributes:
        trace: the traceback as text.
        error: the exception, where it can be sent.
    """

    trace: str
    error: Exception | None = None


@dataclass(frozen=True)
class Answer:
    """What a worker made of a step: a batch or a failure."""

    step: int
    value: Any


def failure_of(error: Exception) -> Failure:
    """Pack an exception."""
    trace = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever a foreign class does when it is copied
        return Failure(trace)
    return Failure(trace, error)


def serve(descriptor: int) -> None:
    """Be the nursery until the training process closes the socket; then end all workers.

    Args:
        descriptor: of a socket that brings the pickled dataset first, then requests.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    workers: set[int] = set()
    with socket.socket(fileno=descriptor) as control:
        with suppress(EOFError, ConnectionError):
            pickled = receive(control)
            try:
                dataset = pickle.loads(pickled)
            except Exception as error:  # importing the dataset's module may raise anything
                send(control, failure_of(error))
                return
            gc.freeze()  # so that collecting garbage in a worker does not copy what is shared
            send(control, None)
            while True:
                asked = receive(control)
                if isinstance(asked, Wait):
                    send(control, os.waitstatus_to_exitcode(os.waitpid(asked.process, 0)[1]))
                    workers.discard(asked.process)
                else:
                    try:
                        process = _fork(dataset, control)
                    except OSError as error:
                        send(control, failure_of(error))
                    else:
                        workers.add(process)
                        send(control, process)
        for process in workers:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
    os._exit(0)  # at once: with torch imported, Python takes half a second to tidy up


def _fork(dataset: Dataset[Any], control: socket.socket) -> int:
    """Start a worker with the socket that comes through ``control``; give its process id."""
    with socket.socket(fileno=socket.recv_fds(control, 1, 1)[1][0]) as orders:
        process = os.fork()
        if process == 0:
            try:
                control.close()
                with suppress(EOFError, ConnectionError):
                    _work(dataset, orders)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
    return process


def _work(dataset: Dataset[Any], orders: socket.socket) -> None:
    """Make the steps that are asked for, in order, until the training process is gone."""
    threading.Thread(target=_leave_with, args=(orders,), daemon=True).start()
    while True:
        step = receive(orders)
        try:
            value = dataset[step]
        except Exception as error:  # any: the training process raises it again
            value = failure_of(error)
        try:
            send(orders, Answer(step, value))
        except ConnectionError:
            raise
        except Exception as error:  # something that cannot be pickled, or no memory for a copy; nothing was sent
            send(orders, Answer(step, failure_of(error)))


def _leave_with(orders: socket.socket) -> None:
    """End this process in the middle of its work when the training process closes its end, or is gone."""
    watch = select.poll()
    watch.register(orders, 0)  # hanging up is reported even where nothing is asked for
    watch.poll()
    os._exit(0)
