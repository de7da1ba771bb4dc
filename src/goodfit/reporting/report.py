"""report.html: one self-contained page about a run, readable without a network."""

from __future__ import annotations

import json
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodfit.files import write_text
from goodfit.reporting import tables
from goodfit.reporting.colours import class_colours
from goodfit.reporting.content import read_content
from goodfit.reporting.curves import case_figure, dice_figure, loss_figure, loss_parts, parts_figure, rate_figure
from goodfit.reporting.machine import machine_figure, panels
from goodfit.reporting.overlays import draw_overlays
from goodfit.reporting.plan_words import plan_groups
from goodfit.reporting.plotting import has_values
from goodfit.reporting.standing import fit, progress

if TYPE_CHECKING:
    from goodfit.reporting.content import Content
    from goodfit.training.verdict import Verdict


def write_report(run: Path) -> Path:
    """Write report.html into a run folder, whatever the folder holds so far.

    The page says what is not there yet. Its pictures are drawn from the dataset that run.json names; where that
    has gone, the page says so.

    Args:
        run: the run folder.

    Returns:
        The path of the page.

    Raises:
        RunError: there is no such folder, or a file in it is damaged.
        PlanError: plan.json cannot be used.
    """
    content = read_content(Path(run))
    write_text(content.run.report, render(content))
    return content.run.report


def render(content: Content) -> str:
    """Give the page as HTML."""
    import jinja2
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("goodfit.reporting", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scores, plan, verdict = content.scores, content.plan, fit(content)
    return environment.get_template("template.html.j2").render(
        title=content.name,
        plan=plan,
        groups=[] if plan is None else plan_groups(plan),
        progress=progress(content),
        fit=verdict,
        tiles=tables.tiles(content),
        events=content.events,
        budget=tables.budget_lines(content),
        split=content.split,
        split_rows=tables.split_rows(content),
        scores=scores,
        summary=[] if scores is None else scores.rows(),
        cases=None if scores is None else tables.case_table(scores),
        overlays=draw_overlays(content),
        colours={} if plan is None else class_colours(plan.data.labels.names),
        environment=tables.environment_rows(content.record),
        rows=content.rows,
        measured_alike=has_values(content.rows, "train_eval_loss"),
        parts=loss_parts(content.rows),
        panels=panels(content.rows),
        figures=_as_script(_figures(content, verdict)),
        plotly=get_plotlyjs() if content.rows or scores is not None else "",
        style=_part("style.css"),
        script=_part("script.js"),
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
    )


def _figures(content: Content, verdict: Verdict | None) -> dict[str, dict[str, Any]]:
    figures: dict[str, dict[str, Any]] = {}
    if content.rows:
        figures |= {
            "loss": loss_figure(content.rows, verdict),
            "dice": dice_figure(content.rows),
            "rate": rate_figure(content.rows),
        }
    if loss_parts(content.rows):
        figures["parts"] = parts_figure(content.rows)
    for panel in panels(content.rows):
        figures[panel.name] = machine_figure(content.rows, panel)
    if content.scores is not None:
        figures["cases"] = case_figure(content.scores)
    return figures


def _as_script(value: object) -> str:
    """Write JSON that may stand inside a script element, whatever names it holds."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")


def _part(name: str) -> str:
    return (resources.files("goodfit.reporting") / "page" / name).read_text(encoding="utf-8")
