from __future__ import annotations

import json

import pytest

from goodfit.errors import RunError
from goodfit.reporting.content import read_content


def test_reads_every_part(finished_run):
    content = read_content(finished_run)
    assert content.name == "Blobs"
    assert len(content.rows) == 10
    assert len(content.events) == 3
    assert content.split is not None
    assert content.split.seed == 7
    assert content.scores is not None
    assert len(content.scores.cases) == 5
    assert content.record["status"] == "finished"


def test_empty_folder_has_nothing(tmp_path):
    content = read_content(tmp_path)
    assert (content.plan, content.split, content.scores) == (None, None, None)
    assert (content.rows, content.events, content.record) == ([], [], {})
    assert content.name == tmp_path.name


def test_missing_folder_and_damaged_split(tmp_path, finished_run):
    with pytest.raises(RunError, match="no such run folder"):
        read_content(tmp_path / "nowhere")
    (finished_run / "splits.json").write_text(json.dumps({"seed": "x"}))
    with pytest.raises(RunError, match=r"splits\.json.*seed"):
        read_content(finished_run)
