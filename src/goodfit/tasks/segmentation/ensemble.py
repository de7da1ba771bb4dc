"""Several networks as one: the mean of their logits, tile by tile.

nnU-Net averages the folds of a configuration as logits, before softmax or sigmoid. It holds a volume of logits for
that and predicts the whole image with one fold after the other. The weighted mean over tiles is linear, so the mean of
the folds may as well be taken in each tile: the result is the same but for rounding, and one rolling buffer serves all
folds.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import torch
from torch import nn

from goodfit.training.weights import weights_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_SHARE_FOR_WEIGHTS = 0.5
"""Part of the free GPU memory that the weights of all members may take; the rest is for tiles and the buffer."""


class AveragedNetworks(nn.Module):
    """Mean of the logits of networks that are all on the device.

    Args:
        members: at least one; each maps (B, C, \\*patch) to (B, K, \\*patch).
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        assert members
        self.members = nn.ModuleList(members)

    def forward(self, tiles: Tensor) -> Tensor:
        """Give the mean logits (B, K, \\*patch), float32."""
        return _mean([member(tiles).float() for member in self.members])


class NetworksInTurn(nn.Module):
    """The same mean with one network on the device: the members' weights wait in host memory.

    Each call copies the weights of every member to the device. One call at a time: others wait.

    Args:
        members: networks of one architecture, in host memory.
        device: where they compute; also where the tiles are.
    """

    def __init__(self, members: Sequence[nn.Module], device: torch.device) -> None:
        super().__init__()
        assert members
        self._weights = [{name: tensor.cpu().clone() for name, tensor in weights_of(one).items()} for one in members]
        self.network = members[0].to(device)
        self._lock = threading.Lock()

    @torch.no_grad()
    def forward(self, tiles: Tensor) -> Tensor:
        """Give the mean logits (B, K, \\*patch), float32."""
        own = weights_of(self.network)
        outputs = []
        with self._lock:
            for weights in self._weights:
                for name, tensor in own.items():
                    tensor.copy_(weights[name])
                outputs.append(self.network(tiles).float())
        return _mean(outputs)


def average(members: Sequence[nn.Module], device: torch.device) -> nn.Module:
    """Make one network of several, on the device.

    A single network stays as it is. On a CPU all members stay in memory: their weights have nowhere else to wait. On a
    GPU they do while they fill less than half of its free memory; otherwise they take turns.

    Args:
        members: networks of one architecture, in host memory.
        device: where to compute.
    """
    if len(members) == 1:
        return members[0].to(device)
    size = sum(tensor.nbytes for member in members for tensor in weights_of(member).values())
    if device.type == "cuda" and size > _SHARE_FOR_WEIGHTS * torch.cuda.mem_get_info(device)[0]:
        return NetworksInTurn(members, device)
    return AveragedNetworks([member.to(device) for member in members])


def _mean(outputs: Sequence[Tensor]) -> Tensor:
    total = outputs[0].clone()
    for output in outputs[1:]:
        total += output
    return total.div_(len(outputs))
