"""The page of a run on instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.reporting.colours import class_colours
from goodfit.reporting.instances import tables
from goodfit.reporting.instances.content import read_instance_content
from goodfit.reporting.instances.curves import (
    ap_figure,
    confusion_figure,
    confusion_size,
    precision_recall_figure,
)
from goodfit.reporting.instances.distances import distances_of_test_frames
from goodfit.reporting.instances.mosaics import draw_mosaics
from goodfit.reporting.instances.plan_words import instance_plan_groups
from goodfit.reporting.rendering import render_page, training_figures
from goodfit.reporting.standing import fit

if TYPE_CHECKING:
    from pathlib import Path

    from goodfit.reporting.instances.content import InstanceContent
    from goodfit.reporting.plotting import Figure
    from goodfit.training.fit.verdict import Verdict


def render_instances(run: Path) -> str:
    """Give the page of a run folder as HTML, whatever the folder holds so far.

    Raises:
        RunError: there is no such folder, or a file in it is damaged.
        PlanError: plan.json cannot be used.
    """
    content = read_instance_content(run)
    scores, plan, verdict = content.scores, content.plan, fit(content)
    return render_page(
        "instances.html.j2",
        content,
        _figures(content, verdict),
        title=content.name,
        plan=plan,
        groups=[] if plan is None else instance_plan_groups(plan),
        fit=verdict,
        tiles=tables.tiles(content),
        budget=tables.budget_lines(content),
        scores=scores,
        group_table=None if scores is None or not scores.groups else tables.group_table(scores),
        part_table=None if scores is None else tables.part_table(scores),
        confusion_size=(0, 0) if scores is None else confusion_size(scores.confusion),
        mosaics=draw_mosaics(content),
        thresholds=content.thresholds,
        measured_distances=scores is not None and distances_of_test_frames(scores) is not None,
        colours={} if plan is None else class_colours(plan.data.categories),
    )


def _figures(content: InstanceContent, verdict: Verdict | None) -> dict[str, Figure]:
    figures = training_figures(content, verdict)
    if content.rows:
        figures["ap"] = ap_figure(content.rows)
    if content.scores is not None:
        figures["precision"] = precision_recall_figure(content.scores, 0.5)
        figures["precision75"] = precision_recall_figure(content.scores, 0.75)
        figures["confusion"] = confusion_figure(content.scores.confusion)
        distances = distances_of_test_frames(content.scores)
        if distances is not None:
            figures["distance"] = distances
    return figures
