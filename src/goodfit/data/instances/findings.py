"""Collecting what is wrong with annotations: a row for each kind in each file, however many objects it concerns."""

from __future__ import annotations

from dataclasses import dataclass

from goodfit.data.problems import Problem, Severity
from goodfit.data.wording import some

_MOST_EXAMPLES = 3


@dataclass(frozen=True)
class Kind:
    """One kind of problem.

    Attributes:
        severity: an error stops the training.
        what: what is wrong, as a noun phrase in the plural; examples follow it.
        remedy: what to do.
    """

    severity: Severity
    what: str
    remedy: str


class Findings:
    """Problems by file and kind, in the order in which the kinds first occurred."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, Kind], list[tuple[str, str]]] = {}

    def add(self, kind: Kind, file: str, example: str, frame: str = "") -> None:
        """Note one occurrence.

        Args:
            kind: what it is.
            file: the file that has it, relative to the dataset.
            example: which thing it is, in a few words; shown for the first occurrences.
            frame: the frame concerned.
        """
        self._found.setdefault((file, kind), []).append((example, frame))

    def problems(self) -> list[Problem]:
        """Give a row per file and kind: errors first."""
        rows = []
        for (file, kind), found in self._found.items():
            frames = {frame for _, frame in found}
            examples = list(dict.fromkeys(example for example, _ in found))
            number = "" if len(found) == 1 else f"{len(found)} "
            what = f"{number}{kind.what}: {some(examples, _MOST_EXAMPLES)}"
            rows.append(Problem(kind.severity, frames.pop() if len(frames) == 1 else "", file, what, kind.remedy))
        return sorted(rows, key=lambda row: row.severity != "error")
