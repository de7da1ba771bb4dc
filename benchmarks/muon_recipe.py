"""A recipe that trains with Muon, for optimizers.py: `goodfit train DATASET --recipe muon_recipe:WithMuon`.

Muon (Jordan et al. 2024) makes the momentum of a weight matrix orthogonal before the step. Convolution kernels are
taken as matrices of output channels x (input channels and kernel); all else is stepped by Adam.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

import goodfit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic Newton-Schulz iteration (Jordan et al. 2024)."""
ITERATIONS = 5
MOMENTUM = 0.95
ADAM_SIZE = 0.2
"""Root mean square of an AdamW update, to which Muon's are scaled so that rate and decay can be AdamW's (Liu et al.
2025, "Muon is scalable for LLM training")."""


def orthogonal(update: Tensor) -> Tensor:
    """Bring the singular values of a matrix (m, n) near 1."""
    first, second, third = COEFFICIENTS
    wide = update.shape[0] <= update.shape[1]
    matrix = update if wide else update.T
    matrix = matrix / (matrix.norm() + 1e-7)
    for _ in range(ITERATIONS):
        gram = matrix @ matrix.T
        matrix = first * matrix + (second * gram + third * gram @ gram) @ matrix
    return matrix if wide else matrix.T


class Muon(torch.optim.Optimizer):
    """Muon for kernels; what is left is stepped as Adam does, at the same rate.

    Args:
        kernels: parameters of three and more axes.
        others: all other parameters.
        rate: AdamW's.
        decay: of the kernels, decoupled.
    """

    def __init__(self, kernels: Iterable[Tensor], others: Iterable[Tensor], rate: float, decay: float) -> None:
        groups = [{"params": list(kernels), "kernels": True}, {"params": list(others), "kernels": False}]
        super().__init__(groups, {"lr": rate, "weight_decay": decay, "betas": (0.9, 0.999), "eps": 1e-8})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Step every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if group["kernels"]:
                    self._step_kernel(parameter, parameter.grad, group)
                else:
                    self._step_other(parameter, parameter.grad, group)

    def _step_kernel(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
        momentum.mul_(MOMENTUM).add_(gradient)
        matrix = orthogonal((gradient + MOMENTUM * momentum).flatten(1))  # Nesterov's
        scale = ADAM_SIZE * max(matrix.shape) ** 0.5
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(matrix.reshape(parameter.shape), alpha=-group["lr"] * scale)

    def _step_other(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, (slow, slower) = self.state[parameter], group["betas"]
        state["step"] = state.get("step", 0) + 1
        mean = state.setdefault("mean", torch.zeros_like(parameter)).lerp_(gradient, 1 - slow)
        square = state.setdefault("square", torch.zeros_like(parameter)).lerp_(gradient.square(), 1 - slower)
        spread = (square / (1 - slower ** state["step"])).sqrt_().add_(group["eps"])
        parameter.addcdiv_(mean / (1 - slow ** state["step"]), spread, value=-group["lr"])


class WithMuon(goodfit.Recipe):
    """The plan's training with Muon in place of its optimizer."""

    def build_optimizer(
        self, network: nn.Module, plan: Any, default: Callable[[], torch.optim.Optimizer]
    ) -> torch.optim.Optimizer:
        """Make Muon at the plan's rate and decay."""
        parameters = list(network.parameters())
        kernels, others = ([p for p in parameters if (p.ndim > 2) == wanted] for wanted in (True, False))
        return Muon(kernels, others, plan.training.learning_rate, plan.training.weight_decay)
