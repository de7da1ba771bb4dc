"""Values between processes over a Unix socket, the arrays in shared memory.

A message is a small pickle; arrays and tensors go beside it in one anonymous file whose descriptor the socket
carries. Nothing has a name, so nothing is left behind by a process that is killed, and the size of /dev/shm, small
in containers, does not matter.
"""

from __future__ import annotations

import io
import itertools
import mmap
import os
import pickle
import socket
import struct
import sys
import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    import torch

_HEADER = struct.Struct("<Q")
_ALIGNMENT = 64


def send(to: socket.socket, value: object) -> None:
    """Send a value; CPU tensors and numpy arrays are copied once, into shared memory.

    Raises:
        OSError: nobody is there any more.
    """
    buffers: list[pickle.PickleBuffer] = []
    body = io.BytesIO()
    _Pickler(body, protocol=5, buffer_callback=buffers.append).dump(value)
    raw = [buffer.raw() for buffer in buffers]
    data = pickle.dumps((body.getvalue(), [part.nbytes for part in raw]))
    header = _HEADER.pack(len(data))
    if not raw:
        to.sendall(header + data)
        return
    descriptor = _anonymous_file()
    try:
        _write(descriptor, raw)
        socket.send_fds(to, [header], [descriptor])
    finally:
        os.close(descriptor)
    to.sendall(data)


def receive(source: socket.socket) -> Any:
    """Wait for a value; its arrays lie in the shared memory itself, which goes when they do.

    Raises:
        EOFError: the other side is gone.
        OSError: the other side is gone in the middle.
    """
    header, descriptors, _flags, _address = socket.recv_fds(source, _HEADER.size, 1)
    try:
        header += _exactly(source, _HEADER.size - len(header))
        body, sizes = pickle.loads(_exactly(source, _HEADER.unpack(header)[0]))
        buffers = _map(descriptors[0], sizes) if sizes else []
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return pickle.loads(body, buffers=buffers)


def _exactly(source: socket.socket, size: int) -> bytes:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = source.recv_into(view)
        if count == 0:
            raise EOFError("the other process has closed its end")
        view = view[count:]
    return bytes(data)


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("goodfit-batch")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _starts(sizes: Sequence[int]) -> list[int]:
    """Where each part begins, and where the file ends."""
    padded = (-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes)
    return list(itertools.accumulate(padded, initial=0))


def _write(descriptor: int, parts: Sequence[memoryview]) -> None:
    starts = _starts([part.nbytes for part in parts])
    os.ftruncate(descriptor, max(1, starts[-1]))
    with open(descriptor, "wb", closefd=False) as file:
        for start, part in zip(starts, parts, strict=False):
            file.seek(start)
            file.write(part)


def _map(descriptor: int, sizes: Sequence[int]) -> list[memoryview]:
    starts = _starts(sizes)
    memory = memoryview(mmap.mmap(descriptor, max(1, starts[-1])))
    return [memory[start : start + size] for start, size in zip(starts, sizes, strict=False)]


class _Pickler(pickle.Pickler):
    """Takes plain CPU tensors out of the pickle, as numpy does with its arrays."""

    def reducer_override(self, value: Any) -> Any:
        torch = sys.modules.get("torch")
        if torch is None or type(value) is not torch.Tensor:
            return NotImplemented
        if value.device.type != "cpu" or value.layout is not torch.strided or value.requires_grad or value.is_quantized:
            return NotImplemented
        flat = value.contiguous().view(-1).view(torch.uint8)
        return _tensor, (flat.numpy(), value.dtype, value.shape)


def _tensor(data: npt.NDArray[np.uint8], dtype: torch.dtype, shape: torch.Size) -> torch.Tensor:
    import torch

    return torch.from_numpy(data).view(dtype).view(shape)
