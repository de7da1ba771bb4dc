"""What torch reserves on a GPU beyond the traced tensors: measured in every training, kept by device, torch and task.

The offset is torch.cuda.max_memory_reserved after a few steps, less the traced peak. It stands for what no trace on fake
tensors sees: gaps between the allocator's blocks, cuDNN's workspaces, rounding. Detectors are traced with more regions
than most frames have, so theirs says nothing of U-Nets.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from goodfit.errors import PlanError
from goodfit.files import read_json, write_json

if TYPE_CHECKING:
    import torch

Kind = Literal["segmentation", "instances"]

FOLDER = Path(".cache") / "goodfit"
"""In the user's home: the offset belongs to the machine, not to a dataset."""
FILE = "gpu_memory.json"
KEPT = 5
"""Measurements kept for a device; the largest of their offsets is used."""


def name_of(device: torch.device, kind: Kind) -> str:
    """Name a GPU together with the version of torch and the kind of task, as the key of its measurements."""
    import torch

    return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}, {kind}"


def remember(name: str, tensors: float, reserved: int, folder: Path | None = None) -> None:
    """Note a measurement.

    Args:
        name: of device, torch version and kind of task.
        tensors: bytes of the traced peak.
        reserved: torch.cuda.max_memory_reserved of the same training.
        folder: where the file is; None: in the user's home.
    """
    folder = folder or Path.home() / FOLDER
    entries = _entries(folder)
    measured = [*entries.get(name, []), {"tensors": round(tensors), "reserved": reserved}]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FILE, {**entries, name: measured[-KEPT:]})


def recall(name: str, folder: Path | None = None) -> int | None:
    """Give the largest offset that was measured, in bytes, at least 0; None where there is no measurement."""
    measured = _entries(folder or Path.home() / FOLDER).get(name)
    return max(0, *(one["reserved"] - one["tensors"] for one in measured)) if measured else None


def _entries(folder: Path) -> dict[str, list[dict[str, int]]]:
    """What the file holds; one that is cut off counts as none, since every training writes it anew."""
    try:
        value = read_json(folder / FILE, PlanError)
    except PlanError:
        return {}
    return dict(value) if isinstance(value, dict) else {}
