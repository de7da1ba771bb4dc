"""A running average of the weights whose width grows with the run, so that no length has to be known.

Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", eq. 1: with
``decay(t) = (1 - 1/t) ** (gamma + 1)`` the average weighs step ``s`` by ``s ** gamma``; its width relative to the
steps so far is a constant set by ``gamma``.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from goodfit.training.weights import put_weights, weights_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn


def gamma_of_width(width: float) -> float:
    """Exponent whose profile has the relative standard deviation ``width`` (0 < width < 0.28).

    Solves ``width**2 = (gamma + 1) / ((gamma + 2)**2 * (gamma + 3))`` (Karras et al. 2024, eq. 126) by bisection;
    0.05 gives 16.97.
    """
    low, high = 0.0, 1e9
    for _ in range(200):
        middle = (low + high) / 2
        if (middle + 1) / ((middle + 2) ** 2 * (middle + 3)) > width**2:
            low = middle
        else:
            high = middle
    return (low + high) / 2


class WeightAverage:
    """Average of a network's floating-point weights, kept beside it.

    Args:
        network: the network whose weights are followed.
        width: relative width of the average (see ``gamma_of_width``); 0 keeps a plain copy of the weights.
    """

    def __init__(self, network: nn.Module, width: float) -> None:
        self._gamma = math.inf if width == 0 else gamma_of_width(width)
        self.weights: dict[str, Tensor] = {name: tensor.clone() for name, tensor in weights_of(network).items()}

    def decay(self, step: int) -> float:
        """Weight that the past has at step ``step``, counted from 1."""
        return 0.0 if math.isinf(self._gamma) else float((1 - 1 / step) ** (self._gamma + 1))

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after step ``step`` (counted from 1)."""
        current = weights_of(network)
        averaged = [name for name, tensor in current.items() if tensor.is_floating_point()]
        torch._foreach_lerp_(
            [self.weights[name] for name in averaged], [current[name] for name in averaged], 1 - self.decay(step)
        )
        for name, tensor in current.items():
            if not tensor.is_floating_point():
                self.weights[name].copy_(tensor)

    @contextmanager
    def in_place_of(self, network: nn.Module) -> Iterator[nn.Module]:
        """Let ``network`` carry the averaged weights within the context; its own come back bit for bit."""
        own = {name: tensor.clone() for name, tensor in weights_of(network).items()}
        put_weights(network, self.weights, "weight average")
        try:
            yield network
        finally:
            put_weights(network, own, "network")
