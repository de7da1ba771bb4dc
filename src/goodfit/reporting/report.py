"""report.html: one self-contained page about a run, readable without a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from goodfit.files import write_text
from goodfit.reporting import tables
from goodfit.reporting.colours import class_colours
from goodfit.reporting.content import read_content, run_folder
from goodfit.reporting.curves import case_figure, dice_figure
from goodfit.reporting.overlays import draw_overlays
from goodfit.reporting.plan_words import plan_groups
from goodfit.reporting.rendering import render_page, training_figures
from goodfit.reporting.standing import fit

if TYPE_CHECKING:
    from goodfit.reporting.content import Content
    from goodfit.reporting.plotting import Figure
    from goodfit.training.fit.verdict import Verdict


def write_report(run: Path) -> Path:
    """Write report.html into a run folder, whatever the folder holds so far.

    The page says what is not there yet. Its pictures are drawn from the dataset that run.json names; where that
    has gone, the page says so.

    Args:
        run: the run folder, of a segmentation or of instances, as its run.json tells.

    Returns:
        The path of the page.

    Raises:
        RunError: there is no such folder, or a file in it is damaged.
        PlanError: plan.json cannot be used.
    """
    folder = run_folder(Path(run))
    kind = folder.read_record().get("kind") if folder.record.is_file() else None
    if kind == "instances":
        # Imported here: a segmentation needs nothing of it.
        from goodfit.reporting.instances.report import render_instances

        page = render_instances(folder.path)
    else:
        page = render(read_content(folder.path))
    write_text(folder.report, page)
    return folder.report


def render(content: Content) -> str:
    """Give the page of a segmentation as HTML."""
    scores, plan, verdict = content.scores, content.plan, fit(content)
    return render_page(
        "segmentation.html.j2",
        content,
        _figures(content, verdict),
        title=content.name,
        plan=plan,
        groups=[] if plan is None else plan_groups(plan),
        fit=verdict,
        tiles=tables.tiles(content),
        budget=tables.budget_lines(content),
        scores=scores,
        summary=[] if scores is None else scores.rows(),
        cases=None if scores is None else tables.case_table(scores),
        overlays=draw_overlays(content),
        colours={} if plan is None else class_colours(plan.data.labels.names),
    )


def _figures(content: Content, verdict: Verdict | None) -> dict[str, Figure]:
    figures = training_figures(content, verdict)
    if content.rows:
        figures["dice"] = dice_figure(content.rows)
    if content.scores is not None:
        figures["cases"] = case_figure(content.scores)
    return figures
