"""Reading Detectron2's .pkl files, which are Python pickles, without running anything that is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from goodfit.errors import PlanError
from goodfit.interop.pickles import NOT_SUCH_A_FILE, Array, load_arrays

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt


def read_arrays(file: Path) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of a Detectron2 checkpoint by their names; nothing in the file is executed.

    Raises:
        PlanError: the file is missing, is no such pickle, or holds anything but arrays, numbers and text.
    """
    try:
        with file.open("rb") as stream:
            content = load_arrays(stream)
        model = content.get("model", content) if isinstance(content, dict) else {}
        arrays = {str(name): value.numpy() for name, value in model.items() if isinstance(value, Array)}
    except FileNotFoundError as error:
        raise PlanError(f"{file}: there is no such file of weights.") from error
    except NOT_SUCH_A_FILE as error:
        raise PlanError(
            f"{file}: this is not a file of weights as Detectron2 writes them ({error}). Only arrays, numbers and text "
            "are read from a .pkl file, and nothing in it is run."
        ) from error
    if not arrays:
        raise PlanError(f"{file}: holds no weights under 'model'.")
    return arrays
