"""What long work tells whoever watches: stages, progress, sentences. The base class watches in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goodfit.training.progress import Report


class Observer:
    """Override what should be shown; the command line does so with progress bars."""

    def stage(self, name: str) -> None:
        """A stage such as "check" or "preprocess" begins."""

    def advance(self, done: int, total: int) -> None:
        """The running stage has finished ``done`` of ``total`` items."""

    def note(self, text: str) -> None:
        """Something the user should read now, one sentence or a few."""

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """The same as a table."""

    def trained(self, report: Report) -> None:
        """A training step, or an epoch when ``report.row`` is set, is finished."""
