"""Optimizers of a plan."""

from __future__ import annotations

from torch import nn

from goodfit.planning.plan import Training
from goodfit.training.optimizer import build_optimizer


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4, affine=True))


def test_adamw_decays_convolutions_alone() -> None:
    optimizer = build_optimizer(network(), Training(optimizer="adamw", weight_decay=0.05))
    decays = {tuple(p.shape): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decays[(4, 1, 3, 3)] == 0.05
    assert decays[(4,)] == 0.0
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 4


def test_sgd_is_nnunets() -> None:
    optimizer = build_optimizer(network(), Training(optimizer="sgd", learning_rate=0.01, weight_decay=3e-5))
    group = optimizer.param_groups[0]
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.99, True, 3e-5)
    assert len(group["params"]) == 4
