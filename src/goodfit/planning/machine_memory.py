"""The memory of this machine: what may still be used, and what a training takes beside its tensors here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from goodfit.planning import gpu_offset
from goodfit.planning.memory import GPU_SHARE, GPU_WORKSPACE, Allowances

if TYPE_CHECKING:
    from pathlib import Path

    import torch


def available_memory(device: torch.device) -> int:
    """Bytes that a training in this process may use, what the process has already included.

    On the CPU that is main memory, within the limits of the container or job; on a GPU its own.
    """
    if device.type == "cpu":
        from goodfit.training.watching.host_memory import host_memory

        return host_memory().available + resident_bytes()
    import torch

    free, _total = torch.cuda.mem_get_info(device)
    return int(free) + torch.cuda.memory_reserved(device)


def resident_bytes() -> int:
    """Resident bytes of this process now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def allowances_on(
    device: torch.device, *, loader: int = 0, kind: gpu_offset.Kind = "segmentation", offsets: Path | None = None
) -> Allowances:
    """Give what a training takes beside its tensors on a device.

    Args:
        device: where the training will run; on a CPU this process is taken for the training process, so its libraries
            are to be loaded already.
        loader: bytes of the cases that the loader keeps in the training process.
        kind: of task, for which the offset of a GPU was measured.
        offsets: folder of the offsets measured on GPUs; None takes the user's.
    """
    if device.type == "cpu":
        importlib.import_module("torch._dynamo")  # torch.optim loads it with the first optimizer: 150 MB
        return Allowances(context=resident_bytes(), loader=loader)
    here = gpu_offset.name_of(device, kind)
    measured = gpu_offset.recall(here, offsets)
    if measured is None:
        return Allowances(share=GPU_SHARE, workspace=GPU_WORKSPACE, device="cuda")
    return Allowances(share=1.0, workspace=measured, device="cuda", measured=here)
