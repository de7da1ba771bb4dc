"""One thing that is wrong with a dataset, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """A row of the table that ``goodfit check`` prints.

    Attributes:
        severity: an error stops the training, a warning does not.
        case: the case, or "" where the problem is the dataset's.
        file: the file, relative to the dataset folder, or "".
        what: what is wrong.
        remedy: what to do.
    """

    severity: Severity
    case: str
    file: str
    what: str
    remedy: str

    @property
    def sentence(self) -> str:
        """The problem as one line; what concerns the whole dataset is said without a place."""
        place = self.case or self.file
        return f"{f'{place}: ' if place else ''}{self.what.rstrip('.')}. {self.remedy}"
