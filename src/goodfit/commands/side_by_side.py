"""How many folds fit on a machine at once, and where each runs: decided from memory, GPUs and cores."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goodfit.data.wording import counted
from goodfit.errors import SettingsError

if TYPE_CHECKING:
    import torch

CORES_PER_FOLD = 8
"""Cores that one training on the CPU keeps busy; fewer would only make each fold slower."""
CORES_PER_GPU_FOLD = 2
"""Cores that cutting patches for a GPU takes at least."""
SHARE_OF_MEMORY = 0.9
"""Part of the free memory that trainings may be predicted to fill."""
CONTEXT_BYTES = 2**30
"""What a process takes beside its tensors: libraries, and on a GPU CUDA's context."""


@dataclass(frozen=True)
class Machine:
    """What there is to share.

    Attributes:
        cores: that this process may use.
        memory: free bytes of host memory.
        gpus: name ("cuda:0") and free bytes of each GPU that may be used; empty on a CPU.
    """

    cores: int
    memory: float
    gpus: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Slots:
    """Places for trainings at the same time.

    Attributes:
        devices: one for each training, in the order in which they are filled.
        threads: for each training on the CPU, or None to leave it to torch.
        reason: why there are so many, in a sentence.
    """

    devices: tuple[str, ...]
    threads: int | None
    reason: str

    @property
    def count(self) -> int:
        """Trainings at the same time."""
        return len(self.devices)


def look_at_machine(device: torch.device, *, every_gpu: bool) -> Machine:
    """Measure what is free now.

    Args:
        device: that training would use.
        every_gpu: all GPUs may be used, not only this one.
    """
    import psutil
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = float(psutil.virtual_memory().available)
    if device.type != "cuda":
        return Machine(cores, memory)
    numbers = range(torch.cuda.device_count()) if every_gpu else [device.index or 0]
    return Machine(
        cores, memory, tuple((f"cuda:{number}", float(torch.cuda.mem_get_info(number)[0])) for number in numbers)
    )


def choose_slots(asked: int | str, folds: int, needed: float, machine: Machine) -> Slots:
    """Decide how many folds train at once.

    Args:
        asked: "auto", or a number from 1 up.
        folds: that are to be trained.
        needed: bytes that one training is predicted to use on its device.
        machine: what there is.

    Raises:
        SettingsError: ``asked`` is neither.
    """
    each = needed + CONTEXT_BYTES
    if isinstance(asked, str) and asked.strip().lower() == "auto":
        return _automatic(folds, each, machine)
    if not str(asked).strip().isdecimal() or int(asked) < 1:
        raise SettingsError(f"--parallel {asked}: write auto, or a number from 1 up.")
    count = min(int(asked), folds)
    reason = f"{counted(count, 'fold')} at a time, as asked"
    if machine.gpus:
        names = [name for name, _ in machine.gpus]
        free = min(memory for _, memory in machine.gpus)
        shared = -(-count // len(names))
        reason += _shortage(shared * each, free, "the GPU" if len(names) == 1 else "a GPU")
        return Slots(tuple(names[index % len(names)] for index in range(count)), None, reason)
    reason += _shortage(count * each, machine.memory, "the machine") if count > 1 else ""
    return Slots(("cpu",) * count, max(1, machine.cores // count) if count > 1 else None, reason)


def _automatic(folds: int, each: float, machine: Machine) -> Slots:
    by_folds = (folds, f"there {'is' if folds == 1 else 'are'} {counted(folds, 'fold')} to train")
    if not machine.gpus:
        room = int(SHARE_OF_MEMORY * machine.memory // each)
        count, why = min(
            by_folds,
            (
                machine.cores // CORES_PER_FOLD,
                f"{counted(machine.cores, 'core')}, of which one training uses {CORES_PER_FOLD}",
            ),
            (room, f"{_gib(machine.memory)} are free and one training needs {_gib(each)}"),
        )
        count = max(1, count)
        return Slots(("cpu",) * count, max(1, machine.cores // count) if count > 1 else None, _sentence(count, why))
    rooms = {name: int(SHARE_OF_MEMORY * free // each) for name, free in machine.gpus}
    said = ", ".join(f"{name} has {_gib(free)} free" for name, free in machine.gpus)
    count, why = min(
        by_folds,
        (machine.cores // CORES_PER_GPU_FOLD, f"{counted(machine.cores, 'core')} to cut patches with"),
        (sum(rooms.values()), f"{said}, and one training needs {_gib(each)}"),
    )
    count = max(1, count)
    # One on each GPU before a second anywhere.
    turns = sorted((turn, index, name) for index, (name, room) in enumerate(rooms.items()) for turn in range(room))
    devices = [name for _, _, name in turns][:count] or [machine.gpus[0][0]]
    return Slots(tuple(devices), None, _sentence(len(devices), why))


def _sentence(count: int, why: str) -> str:
    return f"{counted(count, 'fold')} at a time: {why}"


def _shortage(needed: float, free: float, where: str) -> str:
    if needed <= SHARE_OF_MEMORY * free:
        return ""
    return f"; warning: they are predicted to need {_gib(needed)} and {where} has {_gib(free)} free"


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
