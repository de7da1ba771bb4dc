"""A network's weights by name, each tensor once, and putting them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from goodfit.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """Give parameters and persistent buffers by name, detached but not copied.

    Unlike ``state_dict`` a tensor that two modules share appears once (nnU-Net's decoder holds its encoder too).
    """
    named: dict[str, Tensor] = dict(network.named_parameters())
    persistent = network.state_dict().keys()
    named |= {name: buffer for name, buffer in network.named_buffers() if name in persistent}
    return {name: tensor.detach() for name, tensor in named.items()}


@torch.no_grad()
def put_weights(network: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Copy ``weights`` into ``network``.

    Raises:
        RunError: names that are missing, unknown or of another shape; says ``source``.
    """
    own = weights_of(network)
    missing, unknown = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    misshapen = [name for name in own.keys() & weights.keys() if own[name].shape != weights[name].shape]
    for what, names in (("lacks", missing), ("has unknown", unknown), ("has another shape for", misshapen)):
        if names:
            some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            raise RunError(f"{source}: the file {what} {some}. It belongs to another network than the plan's.")
    for name, tensor in own.items():
        tensor.copy_(weights[name])
