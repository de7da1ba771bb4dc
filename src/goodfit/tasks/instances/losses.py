"""The losses of a detector by name, and the same on fixed frames without leaving a trace."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from goodfit.training.task import TOTAL, Losses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from torch import Tensor

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


class DetectorLoss(nn.Module):
    """Makes one loss of the detector's parts: their sum, as in torchvision and Detectron2."""

    def forward(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Give the total: a scalar.

        Args:
            parts: scalars, by the names of ``loss_parts``.
        """
        return torch.stack(list(parts.values())).sum()


_SUM = DetectorLoss()


def detector_losses(
    network: nn.Module,
    images: Sequence[Tensor],
    targets: Sequence[dict[str, Tensor]],
    combine: Callable[[Mapping[str, Tensor]], Tensor] = _SUM,
) -> Losses:
    """Run a detector that gives losses (in training mode, or within ``giving_losses``).

    Args:
        network: the detector.
        images: as ``InstanceBatch.tensors`` gives them, as are the targets.
        targets: the objects of each image.
        combine: makes the total of the parts.
    """
    parts: dict[str, Tensor] = {_NAMES[name]: loss for name, loss in network(images, targets).items()}
    return Losses(combine(parts), {name: part.detach() for name, part in parts.items()})


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
    network: nn.Module,
    batches: Iterable[InstanceBatch],
    seed: int,
    device: torch.device,
    combine: Callable[[Mapping[str, Tensor]], Tensor] = _SUM,
) -> dict[str, float]:
    """Mean losses over fixed batches in evaluation mode and float32, weighted by frames.

    The regions that the losses look at are drawn at random, here with the same numbers each time. Weights, buffers,
    modes and random state are afterwards as they were before.

    Args:
        network: the detector, in any mode.
        batches: the frames, neither drawn nor changed at random.
        seed: of the choice of regions.
        device: of the network.
        combine: makes the total of the parts.

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
                losses = detector_losses(network, *batch.tensors(device), combine)
            frames += len(batch)
            for name, value in {TOTAL: losses.total, **losses.parts}.items():
                sums[name] = sums.get(name, 0.0) + value.item() * len(batch)
    finally:
        for module, mode in modes:
            module.training = mode
    assert frames, "there are no fixed frames"
    return {name: value / frames for name, value in sums.items()}
