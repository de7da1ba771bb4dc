from __future__ import annotations

import json

import pytest

from goodfit.errors import RunError
from goodfit.reporting.instances.content import read_instance_content


def test_reads_every_part(instance_run):
    content = read_instance_content(instance_run)
    assert (content.name, content.monitor) == ("Ward", "val_ap")
    assert (len(content.rows), len(content.events)) == (12, 2)
    assert content.split is not None
    assert content.scores is not None
    assert content.scores.frames == 24
    assert content.record["kind"] == "instances"


def test_empty_folder_has_nothing(tmp_path):
    content = read_instance_content(tmp_path)
    assert (content.plan, content.split, content.scores, content.rows, content.record) == (None, None, None, [], {})
    assert (content.name, content.monitor) == (tmp_path.name, "val_ap")


def test_missing_folder_and_damaged_split(tmp_path):
    with pytest.raises(RunError, match="no such run folder"):
        read_instance_content(tmp_path / "nowhere")
    (tmp_path / "splits.json").write_text(json.dumps({"seed": "x"}))
    with pytest.raises(RunError, match="this is no split"):
        read_instance_content(tmp_path)
