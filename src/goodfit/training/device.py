"""The device to train on and the precision that pays there."""

from __future__ import annotations

import logging
from typing import Literal

import torch

from goodfit.errors import SettingsError

logger = logging.getLogger(__name__)

Precision = Literal["bfloat16", "float32"]


def choose_device(asked: str | None) -> torch.device:
    """Take the asked device, else the first GPU, else the CPU.

    Raises:
        SettingsError: the asked device is unknown or not there.
    """
    if asked is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(asked)
    except RuntimeError as error:
        raise SettingsError(f"machine.device: {asked!r} is no device; write cpu, cuda or cuda:1.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SettingsError(
            f"machine.device: {asked} is not there; torch sees {torch.cuda.device_count()} GPUs. Use --device cpu."
        )
    if device.type not in ("cpu", "cuda"):
        raise SettingsError(f"machine.device: {asked} is not supported; write cpu, cuda or cuda:1.")
    return device


def choose_precision(device: torch.device) -> tuple[Precision, str]:
    """Choose bfloat16 autocast where the hardware multiplies it faster than float32; give the reason, too."""
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bfloat16", f"{torch.cuda.get_device_name(device)} multiplies bfloat16 in its tensor cores"
        return "float32", f"{torch.cuda.get_device_name(device)} has no bfloat16 arithmetic"
    capabilities = torch.cpu.get_capabilities()
    for flag, name in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512-BF16")):
        if capabilities.get(flag):
            return "bfloat16", f"this CPU has {name}: convolutions run about twice as fast as in float32"
    return "float32", "this CPU has neither AVX512-BF16 nor AMX, so bfloat16 would be slower"


def emulates(precision: Precision, device: torch.device) -> str | None:
    """Give the reason why the device has to imitate a precision that it has no arithmetic for, or None if it has.

    Imitated bfloat16 is far slower than float32: on a CPU with AVX2 a matrix product made 2 against 169 GFLOP/s.
    """
    if precision == "float32":
        return None
    best, reason = choose_precision(device)
    return reason if best == "float32" else None


def inference_precision(trained: Precision, device: torch.device) -> Precision:
    """Give the precision to predict in: that of the training, or float32 where the device would imitate it."""
    reason = emulates(trained, device)
    if reason is None:
        return trained
    logger.info("trained in %s, predicts in float32: %s", trained, reason)
    return "float32"


def make_room_on(device: torch.device) -> None:
    """Return cached GPU memory that nothing uses any more."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def is_out_of_memory(error: RuntimeError) -> bool:
    """Tell an exhausted memory from any other RuntimeError.

    A GPU raises torch.OutOfMemoryError. The CPU's allocator raises a plain RuntimeError, known by its own name in
    the message (c10/core/impl/alloc_cpu.cpp).
    """
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)
