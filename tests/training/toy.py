"""A task small enough to train in milliseconds, for tests of the loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from goodfit.training.task import ValidationResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class ToyBatch:
    inputs: Tensor
    targets: Tensor
    cases: tuple[str, ...]


def samples(seed: int, count: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 4, generator=generator)
    return inputs, (inputs * torch.tensor([1.0, -2.0, 0.5, 0.0])).sum(1, keepdim=True)


class ToyTask:
    """Linear regression; ``before_loss`` may interfere at any step."""

    def __init__(self, before_loss: Callable[[int], None] = lambda _step: None) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
        self.before_loss = before_loss
        self.validated: list[int] = []

    metric_columns = ("val_dice", "val_dice_a")
    validation_cases = 5

    def batches(self, first_step: int, last_step: int) -> Iterator[ToyBatch]:
        for step in range(first_step, last_step):
            inputs, targets = samples(100 + step)
            yield ToyBatch(inputs, targets, (f"case{step}",))

    def loss(self, network: nn.Module, batch: ToyBatch, step: int) -> Tensor:
        self.before_loss(step)
        return (network(batch.inputs) - batch.targets).square().mean()

    def validation_loss(self, network: nn.Module) -> float:
        assert not network.training
        inputs, targets = samples(1)
        return float((network(inputs) - targets).square().mean())

    def validate(self, network: nn.Module, cases: int) -> ValidationResult:
        self.validated.append(cases)
        inputs, targets = samples(2)
        error = float((network(inputs) - targets).square().mean())
        return ValidationResult({"val_dice": 1 / (1 + error), "val_dice_a": 1 / (1 + error)}, cases, 1e-6 * cases)
