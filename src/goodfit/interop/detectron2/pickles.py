"""Reading Detectron2's .pkl files, which are Python pickles, without running anything that is in them."""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

_CORE = ("numpy.core", "numpy._core")
_NUMBERS = re.compile(r"[fiub][1248]")


class _Kind:
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
        return np.dtype(self.order + self.code)


class _Array:
    """Stands for ``numpy.ndarray``: keeps what the file says, to be checked and made into an array afterwards."""

    def __init__(self, *arguments: object) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def numpy(self) -> npt.NDArray[Any]:
        _, shape, kind, by_columns, raw = self.state
        if not isinstance(kind, _Kind):
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


def _from_buffer(raw: object, kind: object, shape: object, order: object) -> _Array:
    """Stand for numpy's function of that name, by which pickles of protocol 5 make arrays."""
    array = _Array()
    array.state = (1, shape, kind, order == "F", raw)
    return array


def _scalar(kind: object, raw: object) -> None:
    """Stand for numpy's function of that name: single numbers are of no use."""


def _encode(text: str, encoding: str) -> bytes:
    """Give bytes that Python 3 wrote for Python 2; stands for ``_codecs.encode``."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Kind,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
    **{(f"{core}.multiarray", "_reconstruct"): _Array for core in _CORE},
    **{(f"{core}.multiarray", "scalar"): _scalar for core in _CORE},
    **{(f"{core}.numeric", "_frombuffer"): _from_buffer for core in _CORE},
}
"""All that a file may ask for, and what it gets; nothing of numpy's is called with what the file says."""


_NOT_SUCH_A_FILE = (
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


class _ArraysOnly(pickle.Unpickler):
    """Builds arrays, numbers, text, lists and dicts, and refuses all else by name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _STAND_INS[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside of the file")


def read_arrays(file: Path) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of a Detectron2 checkpoint by their names; nothing in the file is executed.

    Raises:
        PlanError: the file is missing, is no such pickle, or holds anything but arrays, numbers and text.
    """
    try:
        with file.open("rb") as stream:
            content = _ArraysOnly(stream, encoding="latin1").load()
        model = content.get("model", content) if isinstance(content, dict) else {}
        arrays = {str(name): value.numpy() for name, value in model.items() if isinstance(value, _Array)}
    except FileNotFoundError as error:
        raise PlanError(f"{file}: there is no such file of weights.") from error
    except _NOT_SUCH_A_FILE as error:
        raise PlanError(
            f"{file}: this is not a file of weights as Detectron2 writes them ({error}). Only arrays, numbers and text "
            "are read from a .pkl file, and nothing in it is run."
        ) from error
    if not arrays:
        raise PlanError(f"{file}: holds no weights under 'model'.")
    return arrays
