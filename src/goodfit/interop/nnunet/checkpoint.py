"""Reading nnU-Net's checkpoints, which are pickles in a zip file, without running anything that is in them.

torch's restricted unpickler builds tensors, numbers, text and containers and refuses all else by name. What nnU-Net adds
are numpy's scalars in its log; they get stand-ins, so that nothing of numpy's is called with what the file says.
"""

from __future__ import annotations

import pickle
import re
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from goodfit.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_ASKED = re.compile(r"GLOBAL (\S+)")
_REASON = re.compile(r"WeightsUnpickler error:\s*(.+)")
_WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes of a network inside torch's distributed or compiled wrappers."""


class _Ignored:
    """Stands for what is of no use here: numpy's scalars, arrays and types in the log, and the functions that make them."""

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


_CORE = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMBERS = ("Float16", "Float32", "Float64", "Int8", "Int16", "Int32", "Int64", "UInt8", "Bool")
_STAND_INS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    *((_Ignored, f"{core}.{name}") for core in _CORE for name in ("scalar", "_reconstruct")),
    *((_Ignored, f"numpy.{name}") for name in ("dtype", "ndarray")),
    *((_Ignored, f"numpy.dtypes.{number}DType") for number in _NUMBERS),
]
"""What a checkpoint may ask for beyond torch's own list, and what it gets."""

_DAMAGED = (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError)
"""What torch raises on files that are cut off, or are no checkpoints."""


@dataclass(frozen=True)
class NnunetCheckpoint:
    """What is taken from a checkpoint.

    Attributes:
        source: the file, for messages.
        weights: of the network by name, each tensor under all its names.
        trainer: name of nnU-Net's trainer class; only told, never looked up.
        configuration: of the plans file that was trained.
        mirror_axes: axes that predictions may be mirrored along; empty for none.
        epoch: epochs done, or None.
        dataset: nnU-Net's dataset.json as the checkpoint holds it, or None.
    """

    source: str
    weights: Mapping[str, Tensor]
    trainer: str
    configuration: str
    mirror_axes: tuple[int, ...]
    epoch: int | None
    dataset: Mapping[str, Any] | None


def read_nnunet_checkpoint(path: Path) -> NnunetCheckpoint:
    """Read a checkpoint (checkpoint_final.pth, checkpoint_best.pth); nothing in the file is executed.

    Raises:
        RunError: the file is missing, truncated, asks for code, or is none of nnU-Net's.
    """
    content = _read(path)
    if not isinstance(content, dict) or not isinstance(content.get("network_weights"), dict):
        raise RunError(f"{path}: holds no network_weights, so it is no checkpoint of nnU-Net v2.")
    arguments = content.get("init_args")
    arguments = arguments if isinstance(arguments, dict) else {}
    configuration, trainer = arguments.get("configuration"), content.get("trainer_name")
    if not isinstance(configuration, str) or not isinstance(trainer, str):
        raise RunError(
            f"{path}: does not say what it is (init_args.configuration, trainer_name), so it is no checkpoint of "
            "nnU-Net v2."
        )
    epoch, dataset = content.get("current_epoch"), arguments.get("dataset_json")
    return NnunetCheckpoint(
        source=str(path),
        weights=_weights(content["network_weights"], path),
        trainer=trainer,
        configuration=configuration,
        mirror_axes=_axes(content.get("inference_allowed_mirroring_axes"), path),
        epoch=epoch if isinstance(epoch, int) else None,
        dataset=dataset if isinstance(dataset, dict) else None,
    )


def _read(path: Path) -> Any:
    """Unpickle by torch's restricted unpickler; the tensors stay in the file until they are used."""
    if not path.is_file():
        raise RunError(f"{path}: there is no such checkpoint.")
    _require_plain_zip(path)
    try:
        with torch.serialization.safe_globals(_STAND_INS):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        asked, reason = _ASKED.search(str(error)), _REASON.search(str(error))
        what = f"it asks for {asked[1]}" if asked else reason[1] if reason else "torch's safe loading refuses it"
        raise RunError(
            f"{path}: holds more than weights, numbers and text ({what}), and nothing of it was run. Where you trust its "
            "maker, load it there and save it anew with torch.save, without what it asks for."
        ) from error
    except _DAMAGED as error:
        raise _damaged(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error


def _require_plain_zip(path: Path) -> None:
    """Refuse what torch.save does not write: other files, cut-off ones, and members that grow when they are unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _damaged(path, str(error)) from error
    packed = [member.filename for member in members if member.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise _damaged(path, f"{packed[0]} is compressed, as torch.save never does")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise _damaged(path, "its members are larger than the file")
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError) as error:
        raise _damaged(path, str(error)) from error
    if broken is not None:
        raise _damaged(path, f"the checksum of {broken} is wrong")


def _damaged(path: Path, why: str) -> RunError:
    return RunError(
        f"{path}: this checkpoint is cut off, damaged, or none of nnU-Net v2 ({why}). Copy it again from where it was made."
    )


def _weights(value: Mapping[Any, Any], path: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for name, tensor in value.items():
        usable = type(tensor) is Tensor and tensor.layout is torch.strided and not tensor.is_quantized
        if not isinstance(name, str) or not usable:
            raise RunError(f"{path}: network_weights.{name} is no plain array of numbers.")
        weights[name] = tensor
    if not weights:
        raise RunError(f"{path}: network_weights is empty.")
    for prefix in _WRAPPERS * 2:
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    return weights


def _axes(value: object, path: Path) -> tuple[int, ...]:
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)) or not all(axis in (0, 1, 2) for axis in value):
        raise RunError(f"{path}: inference_allowed_mirroring_axes is {value!r} and should name axes 0, 1 and 2.")
    return tuple(sorted({int(axis) for axis in value}))
