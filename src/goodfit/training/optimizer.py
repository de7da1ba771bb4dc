"""The optimizer a plan asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn

    from goodfit.planning.plan import Training


def build_optimizer(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    """Make SGD with Nesterov momentum or AdamW.

    AdamW decays convolution weights only: decaying norm scales and biases buys nothing (Loshchilov & Hutter's
    decay is meant for weights that the following norm makes scale-free). SGD decays everything, as nnU-Net does.
    """
    if training.optimizer == "sgd":
        return torch.optim.SGD(
            network.parameters(),
            lr=training.learning_rate,
            momentum=training.momentum,
            nesterov=True,
            weight_decay=training.weight_decay,
            fused=True,
        )
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=training.learning_rate, fused=True)
