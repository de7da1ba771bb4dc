"""Putting a page together: template, style, scripts and figures in one file that needs no network."""

from __future__ import annotations

import json
from datetime import datetime
from importlib import resources
from typing import TYPE_CHECKING, Any

from goodfit.reporting import tables
from goodfit.reporting.curves import loss_figure, loss_parts, parts_figure, rate_figure
from goodfit.reporting.machine import machine_figure, panels
from goodfit.reporting.plotting import has_values
from goodfit.reporting.standing import progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goodfit.reporting.content import RunContent
    from goodfit.reporting.plotting import Figure
    from goodfit.training.fit.verdict import Verdict


def training_figures(content: RunContent, verdict: Verdict | None) -> dict[str, Figure]:
    """Draw what runs of all tasks measure while they train; empty before the first row."""
    figures: dict[str, Figure] = {}
    if content.rows:
        figures |= {"loss": loss_figure(content.rows, verdict), "rate": rate_figure(content.rows)}
    if loss_parts(content.rows):
        figures["parts"] = parts_figure(content.rows)
    for panel in panels(content.rows):
        figures[panel.name] = machine_figure(content.rows, panel)
    return figures


def render_page(template: str, content: RunContent, figures: Mapping[str, Figure], **values: Any) -> str:
    """Give a page as HTML.

    Args:
        template: a file of page/ that extends base.html.j2.
        content: the run, for what the pages of all tasks show.
        figures: by name: the plot with the id ``plot-NAME`` shows it.
        values: what else the template needs.
    """
    return fill_template(
        template,
        figures,
        progress=progress(content),
        events=content.events,
        split=content.split,
        split_rows=tables.split_rows(content),
        environment=tables.environment_rows(content.record),
        rows=content.rows,
        measured_alike=has_values(content.rows, "train_eval_loss"),
        parts=loss_parts(content.rows),
        panels=panels(content.rows),
        **values,
    )


def fill_template(template: str, figures: Mapping[str, Figure], **values: Any) -> str:
    """Give a page as HTML, with style, scripts and figures in it.

    Args:
        template: a file of page/.
        figures: by name: the plot with the id ``plot-NAME`` shows it.
        values: what else the template needs.
    """
    import jinja2
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("goodfit.reporting", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        figures=_as_script(figures),
        plotly=get_plotlyjs() if figures else "",
        style=_part("style.css"),
        script=_part("script.js"),
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        **values,
    )


def _as_script(value: object) -> str:
    """Write JSON that may stand inside a script element, whatever names it holds."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")


def _part(name: str) -> str:
    return (resources.files("goodfit.reporting") / "page" / name).read_text(encoding="utf-8")
