from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from goodfit.reporting.content import read_content
from goodfit.reporting.rendering import render_page, training_figures


def test_figures_of_the_training(finished_run, tmp_path):
    content = read_content(finished_run)
    assert training_figures(content, None).keys() == {"loss", "rate"}
    assert training_figures(read_content(tmp_path), None) == {}


def test_a_page_without_figures_carries_no_plotting_code(tmp_path):
    shared = {"title": "T", "plan": None, "groups": [], "fit": None, "tiles": [], "budget": [], "scores": None}
    page = render_page("segmentation.html.j2", read_content(tmp_path), {}, **shared, overlays=[])
    assert "plotly.js v" not in page
    assert "<h1>T</h1>" in page


def test_what_a_template_needs_must_be_given(tmp_path):
    with pytest.raises(UndefinedError):
        render_page("instances.html.j2", read_content(tmp_path), {}, title="T")
