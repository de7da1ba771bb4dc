"""What a cross-validation asks of a kind of task: how its data are read, planned, and scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from goodfit.data.digests import Digests
    from goodfit.data.folds import Folds
    from goodfit.observer import Observer
    from goodfit.reporting.cross_validation import FoldTables
    from goodfit.settings import Settings
    from goodfit.tasks.scoring import FoldSpread
    from goodfit.training.run_folder import RunFolder

DatasetT = TypeVar("DatasetT")
PlanT = TypeVar("PlanT")
ScoresT = TypeVar("ScoresT")


@dataclass(frozen=True)
class Inspected:
    """What reading a dataset showed.

    Attributes:
        presence: case -> label value or number of the category -> amount, to balance the classes of stopping sets.
        identical: names of cases with one and the same image, a list for each.
        fingerprint: of the kind's own type.
    """

    presence: Mapping[str, Mapping[int, int]]
    identical: Sequence[Sequence[str]]
    fingerprint: Any


@dataclass(frozen=True)
class Subject:
    """What is cross-validated.

    Attributes:
        dataset: of the kind's own type.
        explicit: settings that the user gave, by "section.field".
        settings: all settings.
        cache: folder of what all folds share.
    """

    dataset: Any
    explicit: dict[str, Any]
    settings: Settings
    cache: Path


class CrossKind(Protocol[DatasetT, PlanT, ScoresT]):
    """One kind of task: segmentation, instances."""

    def open(self, root: Path, group_by: str | None) -> DatasetT:
        """Open a dataset."""
        ...

    def content_key(self, dataset: DatasetT, digests: Digests) -> str:
        """Digest of the dataset's content, which a plan holds."""
        ...

    def make_folds(self, dataset: DatasetT) -> Folds:
        """Divide the cases into folds, by group."""
        ...

    def inspect(self, subject: Subject, observer: Observer, *, fresh: bool) -> Inspected:
        """Check and measure the dataset, or recall what was found; the caller holds the cache's lock.

        Raises:
            DatasetError: the dataset has errors.
        """
        ...

    def make_plan(self, subject: Subject, inspected: Inspected) -> PlanT:
        """Derive the plan of all folds."""
        ...

    def measure_plan(
        self, plan: PlanT, subject: Subject, inspected: Inspected, observer: Observer, *, refit: bool
    ) -> PlanT:
        """Complete a plan with what depends on this machine; ``refit`` is False for a plan that the user edited."""
        ...

    def measured_parts(self, plan: PlanT) -> str:
        """Digest of what the measurement depends on."""
        ...

    def load_plan(self, path: Path) -> PlanT:
        """Read plan.json."""
        ...

    def save_plan(self, plan: PlanT, path: Path) -> None:
        """Write plan.json."""
        ...

    def load_scores(self, path: Path) -> ScoresT:
        """Read scores.json of a fold."""
        ...

    def save_scores(self, scores: ScoresT, path: Path) -> None:
        """Write scores.json and beside it the table of the cases."""
        ...

    def fold_means(self, scores: ScoresT) -> tuple[dict[str, float | None], dict[str, dict[str, float | None]]]:
        """Give metric -> mean, and class -> metric -> mean, of a fold; None where it is not defined."""
        ...

    def spread(self, scores: Mapping[str, ScoresT]) -> FoldSpread:
        """Mean and spread over folds."""
        ...

    def pool(self, dataset: DatasetT, scores: Mapping[str, ScoresT], runs: Mapping[str, RunFolder]) -> ScoresT:
        """Put the cases of all folds together, as if one model had predicted them."""
        ...

    def tables(self, scores: Mapping[str, ScoresT], together: ScoresT | None) -> FoldTables:
        """Give what the page shows of the scores."""
        ...
