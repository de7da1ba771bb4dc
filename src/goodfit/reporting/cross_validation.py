"""report.html of a cross-validation: the folds side by side, in one page that needs no network."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import TYPE_CHECKING

from goodfit.files import write_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from goodfit.reporting.tables import Tile


@dataclass(frozen=True)
class FoldLink:
    """A fold as the page lists it.

    Attributes:
        name: its number, or "all".
        status: waiting, training, finished and so on.
        sizes: cases that train, that decide when to stop, and that are scored.
        report: its own page, relative to this one; None as long as there is none.
    """

    name: str
    status: str
    sizes: tuple[int, int, int]
    report: str | None


@dataclass(frozen=True)
class ScoreTable:
    """A table of scores: rows of text cells, the first of which is the header, with what is told above and below."""

    rows: Sequence[Sequence[str]]
    heading: str = ""
    caption: str = ""
    totals: int = 1
    """Rows at the end that sum up the others; the first of them is set apart."""


@dataclass(frozen=True)
class FoldTables:
    """What the page shows of the scores.

    Attributes:
        tiles: at the head of the page.
        tables: none as long as no fold is scored.
        optimistic: how optimistic scores are marked; "" where they are not.
        notes: sentences for the reader.
        rules: how the scores are to be read, under ``rules_heading``.
        rules_heading: says what is below it.
    """

    tiles: Sequence[Tile]
    tables: Sequence[ScoreTable] = ()
    optimistic: str = ""
    notes: Sequence[str] = ()
    rules: str = ""
    rules_heading: str = ""


def write_cross_report(
    path: Path,
    title: str,
    folds: Sequence[FoldLink],
    scores: FoldTables,
    *,
    folds_from: str,
    warnings: Sequence[str] = (),
) -> Path:
    """Write the page of a cross-validation, finished or not.

    Args:
        path: of the page.
        title: the dataset's name.
        folds: all folds, in order.
        scores: what is shown of the scores of the finished folds.
        folds_from: how the folds were made.
        warnings: what the reader should know of the folds.

    Returns:
        ``path``.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("goodfit.reporting", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("cross_validation.html.j2").render(
        title=title,
        folds=folds,
        done=sum(fold.status == "finished" for fold in folds),
        scores=scores,
        folds_from=folds_from,
        warnings=warnings,
        style=(resources.files("goodfit.reporting") / "page" / "style.css").read_text(encoding="utf-8"),
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
    )
    write_text(path, page)
    return path
