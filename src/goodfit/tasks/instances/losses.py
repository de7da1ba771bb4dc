"""The losses of a detector by name, and the same on fixed frames without leaving a trace."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from goodfit.training.task import TOTAL, Losses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor, nn

    from goodfit.tasks.instances.sampling import InstanceBatch

_NAMES = {
    "loss_objectness": "rpn_objectness",
    "loss_rpn_box_reg": "rpn_box",
    "loss_classifier": "class",
    "loss_box_reg": "box",
    "loss_mask": "mask",
}
"""torchvision's name of each loss -> ours."""


def loss_parts(*, masks: bool) -> tuple[str, ...]:
    """Names of the losses whose sum is the total."""
    return tuple(name for name in _NAMES.values() if masks or name != "mask")


def detector_losses(network: nn.Module, images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]]) -> Losses:
    """Run a detector that gives losses (in training mode, or within ``giving_losses``)."""
    parts: dict[str, Tensor] = {_NAMES[name]: loss for name, loss in network(images, targets).items()}
    total = torch.stack(list(parts.values())).sum()
    return Losses(total, {name: part.detach() for name, part in parts.items()})


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Fix torch's random numbers within the context; afterwards the state is as it was before."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@contextmanager
def giving_losses(network: nn.Module) -> Iterator[nn.Module]:
    """Let a detector in evaluation mode give its losses within the context.

    torchvision's detectors do so only in training mode, into which ``network.train()`` would put batch norm and
    dropout as well. This sets the attribute of those three modules alone that ask for it.
    """
    modules = [network, network.get_submodule("rpn"), network.get_submodule("roi_heads")]
    before = [module.training for module in modules]
    try:
        for module in modules:
            module.training = True
        yield network
    finally:
        for module, mode in zip(modules, before, strict=True):
            module.training = mode


@torch.no_grad()
def fixed_losses(
    network: nn.Module, batches: Iterable[InstanceBatch], seed: int, device: torch.device
) -> dict[str, float]:
    """Mean losses over fixed batches in evaluation mode and float32, weighted by frames.

    The regions that the losses look at are drawn at random, here with the same numbers each time. Weights, buffers,
    modes and random state are afterwards as they were before.

    Args:
        network: the detector, in any mode.
        batches: the frames, neither drawn nor changed at random.
        seed: of the choice of regions.
        device: of the network.

    Returns:
        ``TOTAL`` and each part.
    """
    sums: dict[str, float] = {}
    frames = 0
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        for number, batch in enumerate(batches):
            with giving_losses(network), seeded(seed + number, device):
                losses = detector_losses(network, *batch.tensors(device))
            frames += len(batch)
            for name, value in {TOTAL: losses.total, **losses.parts}.items():
                sums[name] = sums.get(name, 0.0) + value.item() * len(batch)
    finally:
        for module, mode in modes:
            module.training = mode
    assert frames, "there are no fixed frames"
    return {name: value / frames for name, value in sums.items()}
