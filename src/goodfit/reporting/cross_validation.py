"""report.html of a cross-validation: the folds side by side, in one page that needs no network."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import TYPE_CHECKING

from goodfit.files import write_text
from goodfit.reporting.tables import Tile
from goodfit.tasks.segmentation.fold_scores import fold_rows, pool, spread_over_folds
from goodfit.tasks.segmentation.scores import OPTIMISTIC, number, spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from goodfit.tasks.segmentation.scores import Scores


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


def write_cross_report(
    path: Path,
    title: str,
    folds: Sequence[FoldLink],
    scores: Mapping[str, Scores],
    *,
    folds_from: str,
    warnings: Sequence[str] = (),
) -> Path:
    """Write the page of a cross-validation, finished or not.

    Args:
        path: of the page.
        title: the dataset's name.
        folds: all folds, in order.
        scores: fold -> its scores, for the finished ones.
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
    together = pool(scores) if scores else None
    page = environment.get_template("cross_validation.html.j2").render(
        title=title,
        folds=folds,
        done=sum(fold.status == "finished" for fold in folds),
        tiles=_tiles(scores),
        rows=fold_rows(scores) if scores else [],
        together=together,
        optimistic=OPTIMISTIC if together is not None and together.optimistic else "",
        folds_from=folds_from,
        warnings=warnings,
        style=(resources.files("goodfit.reporting") / "page" / "style.css").read_text(encoding="utf-8"),
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
    )
    write_text(path, page)
    return path


def _tiles(scores: Mapping[str, Scores]) -> list[Tile]:
    if not scores:
        return [Tile("cross-validation Dice", "–", "no fold is scored yet")]
    together, over_folds = pool(scores), spread_over_folds(scores)
    return [
        Tile(
            "Dice over folds", spread(over_folds.mean["dice"], 3), OPTIMISTIC if together.optimistic else "mean ± std"
        ),
        Tile("HD95 over folds", spread(over_folds.mean["hd95"], 2), together.distance_unit),
        Tile("Dice of all cases", number(together.mean_dice, 3), f"{len(together.cases)} cases"),
    ]
