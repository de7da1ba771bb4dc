"""What a training takes of this machine, and why, as sentences for the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from goodfit.commands.fitting import loader_workers
from goodfit.commands.memory import bytes_of_cases
from goodfit.data.wording import counted
from goodfit.planning.arithmetic import describe_bytes
from goodfit.tasks.segmentation.sampling import room_for_cases

if TYPE_CHECKING:
    from goodfit.planning.plan import Plan


def describe_loading(device: torch.device, asked: int | None) -> str:
    """Say how many threads compute and which processes make the batches.

    Args:
        device: of the network.
        asked: ``--workers``, or None.
    """
    where = f"{device}, {counted(torch.get_num_threads(), 'thread')}" if device.type == "cpu" else str(device)
    workers = loader_workers(device, asked)
    if asked is not None:
        why = "as asked for with --workers"
    elif workers == 0:
        why = "others would take the cores that the network computes on"
    else:
        why = "one for each core but one, 8 at most"
    makers = "the training's own process" if workers == 0 else f"{workers} loader process{'' if workers == 1 else 'es'}"
    return f"device: {where}; batches come from {makers} ({why})"


def describe_cases(plan: Plan, cases: int) -> str:
    """Say how much of the cases that are trained on stays decompressed in memory.

    Args:
        plan: of the training; the size of a case is its median's.
        cases: number of training cases.
    """
    size = bytes_of_cases(plan, cases)
    room = room_for_cases(plan.memory)
    if size <= room:
        return f"cases: all {cases} stay in memory once they are decompressed (about {describe_bytes(size)})"
    return (
        f"cases: {describe_bytes(room)} of about {describe_bytes(size)} stay in memory once they are decompressed; of the "
        "others only the patches that are asked for are read"
    )
