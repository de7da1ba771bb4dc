"""What the loop asks of a task: batches, a loss, a validation loss and a metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor, nn


class TaskBatch(Protocol):
    """One batch; the loop looks only at its names."""

    @property
    def cases(self) -> Sequence[str]:
        """Names of the cases in the batch, for messages."""
        ...


BatchT = TypeVar("BatchT", bound=TaskBatch)


@dataclass(frozen=True)
class ValidationResult:
    """What one validation measured.

    Attributes:
        metrics: column of metrics.csv -> value; NaN where a class did not occur.
        cases: number of whole cases that were predicted.
        seconds: time the whole-case prediction took.
    """

    metrics: Mapping[str, float]
    cases: int
    seconds: float


class Task(Protocol[BatchT]):
    """A kind of training: segmentation, instances."""

    @property
    def network(self) -> nn.Module:
        """The network being trained, on its device."""
        ...

    @property
    def metric_columns(self) -> Sequence[str]:
        """Columns that ``validate`` fills, the summary metric first."""
        ...

    def batches(self, first_step: int, last_step: int) -> Iterator[BatchT]:
        """Yield the batches of steps ``first_step`` to ``last_step - 1``: a pure function of seed and step."""
        ...

    def loss(self, network: nn.Module, batch: BatchT, step: int) -> Tensor:
        """Augment, run the network and return the mean loss of the batch as a float32 scalar."""
        ...

    def validation_loss(self, network: nn.Module) -> float:
        """Mean loss over the same fixed samples every time, without augmentation."""
        ...

    def validate(self, network: nn.Module, cases: int) -> ValidationResult:
        """Predict the first ``cases`` whole validation cases and score them."""
        ...

    @property
    def validation_cases(self) -> int:
        """Number of validation cases there are."""
        ...
