"""A task small enough to train in milliseconds, for tests of the loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from goodfit.training.task import TOTAL, Losses, ValidationResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass(frozen=True)
class ToyBatch:
    inputs: Tensor
    targets: Tensor
    cases: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.inputs)

    def part(self, start: int, stop: int) -> ToyBatch:
        return ToyBatch(self.inputs[start:stop], self.targets[start:stop], self.cases)


def samples(seed: int, count: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 4, generator=generator)
    return inputs, (inputs * torch.tensor([1.0, -2.0, 0.5, 0.0])).sum(1, keepdim=True)


class ToyTask:
    """Linear regression; ``before_loss`` may interfere at any step, ``before_validation`` in each validation."""

    def __init__(
        self,
        before_loss: Callable[[int], None] = lambda _step: None,
        before_validation: Callable[[], None] = lambda: None,
    ) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
        self.before_loss, self.before_validation = before_loss, before_validation
        self.validated: list[int] = []

    metric_columns = ("val_dice", "val_dice_a")
    loss_parts = ("half",)
    validation_cases = 5

    def batches(self, first_step: int, last_step: int) -> Iterator[ToyBatch]:
        for step in range(first_step, last_step):
            inputs, targets = samples(100 + step)
            yield ToyBatch(inputs, targets, (f"case{step}",))

    def step_size(self, step: int) -> float:
        return 1.0

    def close(self) -> None:
        pass

    def loss(self, network: nn.Module, batch: ToyBatch, step: int) -> Losses:
        self.before_loss(step)
        total = (network(batch.inputs) - batch.targets).square().mean()
        return Losses(total, {"half": total.detach() / 2})

    def fixed_loss(self, network: nn.Module, subset: str) -> Mapping[str, float]:
        assert not network.training
        self.before_validation()
        inputs, targets = samples(1 if subset == "validation" else 3)
        value = float((network(inputs) - targets).square().mean())
        return {TOTAL: value, "half": value / 2}

    def validate(self, network: nn.Module, cases: int, still_wanted: Callable[[], None]) -> ValidationResult:
        self.validated.append(cases)
        still_wanted()
        inputs, targets = samples(2)
        error = float((network(inputs) - targets).square().mean())
        return ValidationResult({"val_dice": 1 / (1 + error), "val_dice_a": 1 / (1 + error)}, cases, 1e-6 * cases)
