"""What the loop asks of a task: batches, a loss, the same loss on fixed samples, and a metric of whole cases."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Self

    from torch import Tensor, nn

Subset = Literal["train", "validation"]
TOTAL = "total"
"""Key of the whole loss in what ``Task.fixed_loss`` gives."""


class TaskBatch(Protocol):
    """One batch; the loop looks at its names and may divide it."""

    @property
    def cases(self) -> Sequence[str]:
        """Names of the cases in the batch, for messages."""
        ...

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def part(self, start: int, stop: int) -> Self:
        """Samples ``start`` to ``stop - 1``, which training sees exactly as in the whole batch."""
        ...


BatchT = TypeVar("BatchT", bound=TaskBatch)


@dataclass(frozen=True)
class Losses:
    """The loss of a batch.

    Attributes:
        total: float32 scalar with its graph, the mean over the samples.
        parts: detached scalars that are shown beside the total, by name.
    """

    total: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class ValidationResult:
    """What the prediction of whole validation cases measured.

    Attributes:
        metrics: column of metrics.csv -> value; NaN where a class did not occur.
        cases: number of whole cases that were predicted.
        seconds: time it took.
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

    @property
    def loss_parts(self) -> Sequence[str]:
        """Names of the parts that ``loss`` and ``fixed_loss`` give beside the total."""
        ...

    def step_size(self, step: int) -> float:
        """Size of a step's batch as a share of those that the training ends with: below 1 a step costs less.

        While it is below 1, nothing is validated and the clock does not end the training: both go by whole steps.
        """
        ...

    def batches(self, first_step: int, last_step: int) -> Iterator[BatchT]:
        """Yield the batches of steps ``first_step`` to ``last_step - 1``: a pure function of seed and step."""
        ...

    def close(self) -> None:
        """Let go of processes and open files; the training is over."""
        ...

    def loss(self, network: nn.Module, batch: BatchT, step: int) -> Losses:
        """Augment, run the network and give the loss of the batch."""
        ...

    def fixed_loss(self, network: nn.Module, subset: Subset) -> Mapping[str, float]:
        """Mean loss over the same fixed samples every time, without augmentation: ``TOTAL`` and each part."""
        ...

    def validate(self, network: nn.Module, cases: int, still_wanted: Callable[[], None]) -> ValidationResult:
        """Predict the first ``cases`` whole validation cases and score them.

        Args:
            network: in evaluation mode, with the weights to judge.
            cases: how many, from 1 to ``validation_cases``.
            still_wanted: to be called between cases, or more often; raises when the run has to leave.
        """
        ...

    @property
    def validation_cases(self) -> int:
        """Number of validation cases there are."""
        ...
