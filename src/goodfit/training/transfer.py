"""Weights of one network in another: which fit, which do not and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from goodfit.training.weights import weights_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

TAKEN = "taken"
LEFT = "newly drawn"
MISSING = "not among the weights given"
SHAPE = "of another shape"


@dataclass(frozen=True)
class Row:
    """A line of the table: weights of one part of the network with one fate.

    Attributes:
        part: beginning of their names, such as encoder.stages.0.
        tensors: number of weight tensors.
        values: numbers in them.
        fate: ``TAKEN`` or ``LEFT``.
        reason: why they were left; empty where they were taken.
    """

    part: str
    tensors: int
    values: int
    fate: str
    reason: str


@dataclass(frozen=True)
class Transfer:
    """What became of each weight of a network.

    Attributes:
        taken: names.
        left: name -> why it stays as it was drawn.
        unused: names that only the source has.
        sizes: name -> numbers in it, of the network.
    """

    taken: list[str]
    left: dict[str, str]
    unused: list[str]
    sizes: dict[str, int]

    def rows(self) -> list[Row]:
        """Sum up by parts of the network, in its order."""
        groups: dict[tuple[str, str], list[str]] = {}
        for name in self.sizes:
            # Of the shapes that differ within a part the first one stands for all.
            kind = self.left.get(name, "").partition(":")[0]
            groups.setdefault((part_of(name), kind), []).append(name)
        return [
            Row(
                part,
                len(names),
                sum(self.sizes[name] for name in names),
                LEFT if kind else TAKEN,
                self.left.get(names[0], ""),
            )
            for (part, kind), names in groups.items()
        ]

    def misfits(self) -> list[str]:
        """Names of the weights whose layer is not there, or has another shape."""
        return [name for name, reason in self.left.items() if reason.startswith((MISSING, SHAPE))]


def part_of(name: str) -> str:
    """Name the part of a network that a weight belongs to: all up to the first number, at least two words."""
    words = name.split(".")
    first = next((index for index, word in enumerate(words) if word.isdecimal()), 1)
    return ".".join(words[: min(max(first + 1, 2), max(1, len(words) - 1))])


@torch.no_grad()
def transfer(
    network: nn.Module, source: Mapping[str, Tensor], *, outputs: Sequence[str] = (), why_not_outputs: str = ""
) -> Transfer:
    """Copy what fits by name and shape, a layer as a whole or not at all; the rest stays as it was drawn.

    Args:
        network: receives the weights.
        source: weights by name.
        outputs: parts of names by which output layers are known.
        why_not_outputs: why these are left, or "" to take them, too.
    """
    own = weights_of(network)
    layers: dict[str, list[str]] = {}
    for name in own:
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    taken, left = [], {}
    for names in layers.values():
        reasons = [_why_not(name, own[name], source, outputs, why_not_outputs) for name in names]
        reason = next((one for one in reasons if one), "")
        for name in names:
            if reason:
                left[name] = reason
            else:
                own[name].copy_(source[name])
                taken.append(name)
    unused = sorted(set(source) - set(network.state_dict()))
    return Transfer(taken, left, unused, {name: tensor.numel() for name, tensor in own.items()})


def _why_not(
    name: str, tensor: Tensor, source: Mapping[str, Tensor], outputs: Sequence[str], why_not_outputs: str
) -> str:
    given = source.get(name)
    if why_not_outputs and any(part in name for part in outputs):
        return why_not_outputs
    if given is None:
        return MISSING
    if given.shape != tensor.shape:
        return f"{SHAPE}: {_size(given)} there, {_size(tensor)} here"
    return ""


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "1"
