"""`goodfit plan` and `goodfit preprocess` of frames with instances."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import goodfit
from goodfit.commands.instances.prepare import PreparedInstances
from goodfit.errors import PlanError, SettingsError
from goodfit.planning.instances.plan import load_instance_plan
from goodfit.preprocessing.frames import FrameStore
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path


def edit(run: RunFolder, section: str, **values: Any) -> None:
    plan = json.loads(run.plan.read_text())
    (plan[section] if section else plan).update(values)
    run.plan.write_text(json.dumps(plan))


@pytest.fixture
def planned(frames: Path, tmp_path: Path, quick: dict[str, Any]) -> RunFolder:
    prepared = goodfit.plan(frames, run=tmp_path / "run", settings=quick)
    assert isinstance(prepared, PreparedInstances)
    return prepared.run


def test_a_plan_is_measured_and_written_with_its_split(planned: RunFolder) -> None:
    plan, record = load_instance_plan(planned.plan), planned.read_record()
    assert plan.model.image_min_size == 64
    assert "4 steps of" in plan.budget.reasons["hours"]
    assert record["kind"] == "instances"
    assert record["measured"]
    sets = json.loads(planned.splits.read_text())
    assert sorted(len(sets[name]) for name in ("train", "validation", "test")) == [3, 3, 9]
    decoded = FrameStore(planned.path / "cache" / "frames" / "64x96").names()
    assert 0 < len(decoded) <= 9, "only frames that the timed steps draw"


def test_frames_are_decoded_at_the_size_of_the_plan(
    frames: Path, tmp_path: Path, quick: dict[str, Any], listener: Any
) -> None:
    run = tmp_path / "run"
    folders = goodfit.preprocess(frames, run=run, settings=quick, configurations=["instances"], observer=listener)
    assert list(folders) == ["instances"]
    store = FrameStore(folders["instances"])
    assert len(store.names()) == 15
    assert store.size("v0_000") == (64, 80)
    assert "decode frames" in listener.stages
    assert not RunFolder(run).read_record()["measured"], "decoding needs no measurement"
    with pytest.raises(SettingsError, match="2d is not in the plan of frames with instances, which has: instances"):
        goodfit.preprocess(frames, run=run, configurations=["2d"])


def test_edits_are_honoured_measured_anew_and_what_they_call_for_is_said(
    frames: Path, planned: RunFolder, listener: Any
) -> None:
    before = load_instance_plan(planned.plan)
    edit(planned, "model", image_min_size=80, image_max_size=100)
    edit(planned, "", batch_size=3, memory=1e9)
    edit(planned, "budget", epochs=7)
    prepared = goodfit.plan(frames, run=planned.path, observer=listener)
    assert isinstance(prepared, PreparedInstances)
    plan = prepared.plan
    assert (plan.model.image_min_size, plan.batch_size, plan.budget.epochs) == (80, 3, 7)
    assert "14 steps of" in plan.budget.reasons["hours"]
    assert plan.predicted_memory != before.predicted_memory
    said = "\n".join(listener.notes)
    assert "plan.json was edited: batch_size is 3, was 2" in said
    assert "warning: memory was edited, without effect" in said
    assert "warning: model.image_min_size was edited, and model.anchor_sizes stays" in said
    assert "warning: batch_size was edited, and training.learning_rate stays" in said
    assert "measure this machine" in listener.stages
    again = type(listener)()
    goodfit.plan(frames, run=planned.path, observer=again)
    assert "measure this machine" not in again.stages, "it is measured already"
    assert "plan.json was edited: batch_size is 3, was 2" in again.notes, "and still said"


def test_nothing_is_said_of_a_plan_that_was_not_edited(frames: Path, planned: RunFolder, listener: Any) -> None:
    goodfit.plan(frames, run=planned.path, observer=listener)
    assert not [note for note in listener.notes if "edited" in note]


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("data", {"categories": ["red", "green"]}, "edit the dataset, not the plan"),
        ("data", {"key": "another"}, "the dataset has changed since this plan was made"),
        ("model", {"image_min_size": 200}, "image_min_size 200 is above image_max_size 96"),
        ("model", {"learning": 1}, r"model\.learning"),
        ("training", {"monitor": "val_dice"}, "no column that a validation fills"),
    ],
)
def test_edits_that_cannot_be_are_refused(
    frames: Path, planned: RunFolder, section: str, values: dict[str, Any], message: str
) -> None:
    edit(planned, section, **values)
    with pytest.raises(PlanError, match=message):
        goodfit.plan(frames, run=planned.path)


def test_a_deleted_split_is_made_anew(frames: Path, planned: RunFolder) -> None:
    before = json.loads(planned.splits.read_text())
    planned.splits.unlink()
    goodfit.plan(frames, run=planned.path)
    assert json.loads(planned.splits.read_text()) == before


def test_settings_of_volumes_are_said_to_have_no_effect(
    frames: Path, tmp_path: Path, quick: dict[str, Any], listener: Any
) -> None:
    goodfit.preprocess(frames, run=tmp_path / "run", settings={**quick, "prediction.tta": True}, observer=listener)
    assert any(note.startswith("warning: prediction.tta has no effect") for note in listener.notes)
    with pytest.raises(PlanError, match=r"plan\.patch_size: there is no such setting for instances"):
        goodfit.plan(frames, run=tmp_path / "other", settings={**quick, "plan.patch_size": [64, 64]})
