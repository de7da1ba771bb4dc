"""Forward and backward of a batch; in smaller pieces where the memory is too small for the whole."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from goodfit.errors import ResourceError
from goodfit.training.device import is_out_of_memory, make_room_on
from goodfit.training.task import TOTAL, BatchT

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from goodfit.training.task import Task

logger = logging.getLogger(__name__)


def gradients(task: Task[BatchT], batch: BatchT, step: int, parts: int) -> dict[str, float]:
    """Accumulate the gradients of a batch's mean loss over ``parts`` micro-batches.

    Losses that look at a batch as a whole (batch Dice) look at each micro-batch instead.

    Returns:
        The loss (``TOTAL``) and its parts, means over the samples.
    """
    size = math.ceil(len(batch) / parts)
    sums: dict[str, float] = {}
    for start in range(0, len(batch), size):
        piece = batch if parts == 1 else batch.part(start, min(start + size, len(batch)))
        share = len(piece) / len(batch)
        losses = task.loss(task.network, piece, step)
        (losses.total if parts == 1 else losses.total * share).backward()  # type: ignore[no-untyped-call]
        for name, value in {TOTAL: losses.total, **losses.parts}.items():
            sums[name] = sums.get(name, 0.0) + share * value.item()
    return sums


def gradients_within_memory(
    task: Task[BatchT], optimizer: torch.optim.Optimizer, batch: BatchT, step: int, parts: int
) -> tuple[dict[str, float], int]:
    """Like ``gradients``; when the memory is too small, take twice as many micro-batches and try again.

    Returns:
        The losses, and the number of micro-batches that fitted.

    Raises:
        ResourceError: not even a single sample fits.
    """
    while True:
        try:
            return gradients(task, batch, step, parts), parts
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            said = str(error).splitlines()[0]
        # Outside of the except clause, whose exception keeps the tensors of the failed attempt alive.
        optimizer.zero_grad(set_to_none=True)
        make_room_on(next(task.network.parameters()).device)
        if parts >= len(batch):
            raise ResourceError(
                f"step {step}: not even one sample fits into the memory ({said}). Choose a smaller patch or network, "
                "or free some memory, and go on with `goodfit resume`."
            )
        parts = min(2 * parts, len(batch))
        logger.warning(
            "step %d: the memory is too small for %d samples at once (%s). From here on each batch of %d is computed in "
            "%d parts whose gradients are added: same batch size, somewhat slower",
            step,
            math.ceil(2 * len(batch) / parts),
            said,
            len(batch),
            parts,
        )


def seconds_within_memory(measure: Callable[[int], float], batch_size: int, device: torch.device) -> float:
    """Time a step whose batch may be too large for the memory: then the parts that the training would take.

    Args:
        measure: gives the seconds of a step with so many samples.
        batch_size: samples of the whole step.
        device: where they are computed.

    Raises:
        ResourceError: not even a single sample fits.
    """
    parts = 1
    while True:
        size = math.ceil(batch_size / parts)
        try:
            return measure(size) * batch_size / size
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            said = str(error).splitlines()[0]
        make_room_on(device)
        if size == 1:
            raise ResourceError(
                f"timing a step: not even one sample fits into the memory ({said}). Choose a smaller patch, image size or "
                "network, or free some memory."
            )
        parts = min(2 * parts, batch_size)
