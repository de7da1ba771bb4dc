"""What is wrong with a dataset, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

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


@dataclass
class ProblemTable:
    """The problems that a check found, errors first; base of what each kind of check gives."""

    problems: list[Problem]

    @property
    def ok(self) -> bool:
        """Whether training can start: there may be warnings, but no error."""
        return not self.errors

    @property
    def errors(self) -> list[Problem]:
        """The problems that stop the training."""
        return [problem for problem in self.problems if problem.severity == "error"]

    @property
    def warnings(self) -> list[Problem]:
        """The problems that do not."""
        return [problem for problem in self.problems if problem.severity == "warning"]

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as plain values for JSON."""
        return asdict(self)
