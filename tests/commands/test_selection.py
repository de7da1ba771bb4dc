"""selection.json is found by itself or in its folder, with members relative to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from goodfit.commands.selection import SelectedModel, SelectionRecord, load_selection, read_selection, save_selection
from goodfit.errors import RunError
from goodfit.tasks.segmentation.postprocessing import Postprocessing, Trial

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def record() -> SelectionRecord:
    return SelectionRecord(
        goodfit="0",
        dataset="data",
        cases=3,
        candidates=[],
        selected=[SelectedModel(path="../cv-1", folds=["0", "1"])],
        checkpoint="best",
        tta=True,
        step_size=0.5,
        postprocessing=Postprocessing(trials=[Trial(name="a", values=[1], helps=True)]),
        dice=float("nan"),
        dice_postprocessed=0.5,
        command="goodfit predict",
    )


def test_a_selection_moves_with_its_members(record: SelectionRecord, tmp_path: Path) -> None:
    file = save_selection(record, tmp_path / "here" / "selection")
    assert read_selection(file).tta
    for place in (file, file.parent):
        found = load_selection(place)
        assert found is not None
        assert [(member.path, member.folds) for member in found.members] == [(tmp_path / "here" / "cv-1", ["0", "1"])]
        assert [step.name for step in found.postprocessing.steps] == ["a"]
    (tmp_path / "here").rename(tmp_path / "there")
    moved = load_selection(tmp_path / "there" / "selection")
    assert moved is not None
    assert moved.members[0].path == tmp_path / "there" / "cv-1"


def test_other_folders_are_no_selection(tmp_path: Path) -> None:
    assert load_selection(tmp_path) is None
    assert load_selection(tmp_path / "nowhere") is None


@pytest.mark.parametrize("change", [{"optimistic": False}, {"version": 2}, {"more": 1}, {"selected": [{"path": 3}]}])
def test_a_damaged_one_is_named_with_its_field(record: SelectionRecord, tmp_path: Path, change: object) -> None:
    assert isinstance(change, dict)
    file = save_selection(record, tmp_path)
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(RunError, match=rf"selection\.json: no selection of `goodfit select` \({next(iter(change))}"):
        load_selection(tmp_path)
