"""nnU-Net's weights in goodfit's networks, which are the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from goodfit.errors import RunError
from goodfit.tasks.segmentation.network import build_network

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from goodfit.planning.plan import Plan


def network_with(plan: Plan, weights: Mapping[str, Tensor], source: str) -> nn.Module:
    """Build the plan's network with the weights of a checkpoint.

    nnU-Net's weights name a tensor that two modules share once for each. All names must be there, and no others.

    Raises:
        RunError: names are missing, unknown or of another shape, or a weight is no number; says ``source``.
    """
    configuration, data = plan.chosen, plan.data
    network = build_network(
        configuration.network, data.input_channels(configuration), data.labels.outputs, configuration.dims
    )
    own = network.state_dict()
    misshapen = [name for name in own.keys() & weights.keys() if own[name].shape != weights[name].shape]
    for what, names in (
        ("lacks", own.keys() - weights.keys()),
        ("has unknown", weights.keys() - own.keys()),
        ("has another shape for", misshapen),
    ):
        if names:
            some = sorted(names)
            more = f" and {len(some) - 3} more" if len(some) > 3 else ""
            raise RunError(
                f"{source}: the file {what} {', '.join(some[:3])}{more}. It belongs to another network than that of its "
                "plans; was it trained with a trainer class that builds its own?"
            )
    for name, tensor in weights.items():
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            raise RunError(f"{source}: {name} holds values that are no finite numbers: the training had failed.")
    network.load_state_dict(dict(weights))
    return network
