"""Tests of values sent between processes; what tensors go through is in test_loader.py, too."""

from __future__ import annotations

import gc
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from goodfit.training.loading.transport import receive, send

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def there(ends: tuple[socket.socket, socket.socket], value: object) -> Any:
    sender = threading.Thread(target=send, args=(ends[0], value))
    sender.start()
    received = receive(ends[1])
    sender.join()
    return received


arrays = hn.arrays(
    st.sampled_from([np.uint8, np.int16, np.float32, np.float64, np.bool_]), hn.array_shapes(min_dims=0, min_side=0)
)


@given(st.lists(arrays | st.integers() | st.text() | st.none(), max_size=6))
def test_values_arrive_as_they_were(ends: tuple[socket.socket, socket.socket], values: list[Any]) -> None:
    for value, received in zip(values, there(ends, values), strict=True):
        if not isinstance(value, np.ndarray):
            assert received == value
            continue
        assert (received.dtype, received.shape) == (value.dtype, value.shape)
        assert received.tobytes() == value.tobytes()
        assert received.ctypes.data % received.dtype.itemsize == 0


def test_messages_keep_their_order_and_their_arrays(ends: tuple[socket.socket, socket.socket]) -> None:
    values = [np.arange(5), "between", torch.arange(6).view(2, 3), b"x" * 300_000, np.zeros(0)]
    sender = threading.Thread(target=lambda: [send(ends[0], value) for value in values])
    sender.start()
    received = [receive(ends[1]) for _ in values]
    sender.join()
    assert np.array_equal(received[0], values[0])
    assert received[1] == "between"
    assert torch.equal(received[2], values[2])
    assert received[3] == values[3]
    assert received[4].shape == (0,)


def test_no_file_stays_open(ends: tuple[socket.socket, socket.socket]) -> None:
    before = psutil.Process().num_fds()
    for _ in range(3):
        assert there(ends, np.ones(100_000)).sum() == 100_000
    gc.collect()
    assert psutil.Process().num_fds() == before


def test_an_end_that_closes() -> None:
    one, other = socket.socketpair()
    with other:
        one.close()
        with pytest.raises(EOFError):
            receive(other)
        with pytest.raises(BrokenPipeError):
            send(other, np.ones(3))
    one, other = socket.socketpair()
    with other:
        one.sendall(struct.pack("<Q", 100) + b"half")
        one.close()
        with pytest.raises(EOFError):
            receive(other)
