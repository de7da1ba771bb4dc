"""Reading pickles that hold arrays, numbers, text, lists and dicts, without running anything that is in them."""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

_CORE = ("numpy.core", "numpy._core")
_NUMBERS = re.compile(r"[fiub][1248]")

NOT_SUCH_A_FILE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What unpickling raises on bytes that are anything else."""


class Kind:
    """Stands for ``numpy.dtype``, whose own reading of a forged state can crash; numbers only."""

    def __init__(self, code: object, align: object = False, copy: object = False) -> None:
        self.code, self.order = str(code), "="
        if not _NUMBERS.fullmatch(self.code):
            raise pickle.UnpicklingError(f"an array is of the kind {self.code!r}, not made of numbers")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("an array is not written as numpy writes it")
        self.order = order

    def numpy(self) -> np.dtype[Any]:
        """The type of numbers."""
        return np.dtype(self.order + self.code)


class Array:
    """Stands for ``numpy.ndarray``: keeps what the file says, to be checked and made into an array afterwards."""

    def __init__(self, *arguments: object) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def numpy(self) -> npt.NDArray[Any]:
        """The array itself; raises one of ``NOT_SUCH_A_FILE`` where its parts contradict each other."""
        _, shape, kind, by_columns, raw = self.state
        if not isinstance(kind, Kind):
            raise pickle.UnpicklingError("an array is not written as numpy writes it")
        flat = np.frombuffer(_bytes(raw), dtype=kind.numpy())
        return flat.reshape(shape, order="F" if by_columns else "C").copy()


def _bytes(raw: object) -> bytes:
    """Give bytes, also where Python 2 wrote them as text."""
    if isinstance(raw, str):
        return raw.encode("latin1")
    if not isinstance(raw, bytes | bytearray):
        raise pickle.UnpicklingError("an array is not written as numpy writes it")
    return bytes(raw)


def _from_buffer(raw: object, kind: object, shape: object, order: object) -> Array:
    """Stand for numpy's function of that name, by which pickles of protocol 5 make arrays."""
    array = Array()
    array.state = (1, shape, kind, order == "F", raw)
    return array


def _scalar(kind: object, raw: object) -> Any:
    """Stand for numpy's function of that name: give the number."""
    if not isinstance(kind, Kind):
        raise pickle.UnpicklingError("a number is not written as numpy writes it")
    return np.frombuffer(_bytes(raw), dtype=kind.numpy(), count=1)[0].item()


def _encode(text: str, encoding: str) -> bytes:
    """Give bytes that Python 3 wrote for Python 2; stands for ``_codecs.encode``."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): Kind,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
    **{(f"{core}.multiarray", "_reconstruct"): Array for core in _CORE},
    **{(f"{core}.multiarray", "scalar"): _scalar for core in _CORE},
    **{(f"{core}.numeric", "_frombuffer"): _from_buffer for core in _CORE},
}
"""All that a file may ask for, and what it gets; nothing of numpy's is called with what the file says."""


class _ArraysOnly(pickle.Unpickler):
    """Builds arrays, numbers, text, lists and dicts, and refuses all else by name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _STAND_INS[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside of the file")


def load_arrays(stream: BinaryIO) -> Any:
    """Read a pickle; arrays are left as ``Array``, whose ``numpy`` gives them.

    Raises:
        pickle.UnpicklingError and others of ``NOT_SUCH_A_FILE``: it holds anything else, or is no pickle.
    """
    return _ArraysOnly(stream, encoding="latin1").load()


def load_plain(stream: BinaryIO) -> Any:
    """Read a pickle of dicts, lists, tuples, numbers, text and arrays.

    Raises:
        pickle.UnpicklingError and others of ``NOT_SUCH_A_FILE``: it holds anything else, or is no pickle.
    """
    return _plain(load_arrays(stream))


def _plain(value: Any) -> Any:
    match value:
        case Array():
            return value.numpy()
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case tuple():
            return tuple(_plain(item) for item in value)
        case None | bool() | int() | float() | str() | bytes():
            return value
    raise pickle.UnpicklingError(f"it holds a {type(value).__name__}")
