"""From frames to a planned run: what is derived, what is recalled, and what a user may edit between."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from goodfit.commands.instances.prepare import (
    aim_at_instances,
    ignored_settings,
    new_plan,
    prepare_instances,
    said_of,
    with_config,
    with_measurement,
)
from goodfit.data.instances.dataset import open_instances
from goodfit.errors import PlanError, SplitError
from goodfit.interop.detectron2.config import translate_config
from goodfit.settings import build_settings
from goodfit.training.recipe import Recipe

if TYPE_CHECKING:
    from goodfit.commands.instances.prepare import InstanceTarget, PreparedInstances

CONFIG = """
MODEL:
  ROI_HEADS: {NUM_CLASSES: 3}
SOLVER: {IMS_PER_BATCH: 3, GAMMA: 0.1}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    return file


def aimed(frames: Path, run: Path, explicit: dict[str, Any], *, fresh: bool = False) -> InstanceTarget:
    return aim_at_instances(frames, run, fresh=fresh, explicit=explicit)


def prepared_in(frames: Path, run: Path, explicit: dict[str, Any], listener: Any) -> PreparedInstances:
    return prepare_instances(aimed(frames, run, explicit), listener)


def test_what_a_config_says_stands_behind_what_the_user_asks_for(config: Path) -> None:
    asked = {"data.detectron2_config": str(config), "plan.batch_size": 2}
    found = with_config(asked, build_settings(asked))
    assert found["plan.batch_size"] == 2
    del asked["plan.batch_size"]
    assert with_config(asked, build_settings(asked))["plan.batch_size"] == 3
    assert with_config({"plan.batch_size": 2}, build_settings({})) == {"plan.batch_size": 2}


def test_every_key_of_a_config_is_said(config: Path, frames: Path) -> None:
    lines = said_of(translate_config(config), open_instances(frames))
    assert "Detectron2 config: SOLVER.IMS_PER_BATCH = 3: plan.batch_size" in lines
    assert any(line.startswith("warning: Detectron2 config: SOLVER.GAMMA = 0.1 has no effect") for line in lines)
    assert lines[-1].startswith("warning: MODEL.ROI_HEADS.NUM_CLASSES is 3, the dataset has 2: red, blue.")


def test_a_config_reaches_the_plan_and_is_told_once(
    config: Path, frames: Path, tmp_path: Path, quick: dict[str, Any], listener: Any
) -> None:
    del quick["plan.batch_size"]
    explicit = {**quick, "data.detectron2_config": str(config)}
    assert prepared_in(frames, tmp_path / "run", explicit, listener).plan.batch_size == 3
    assert any("SOLVER.IMS_PER_BATCH" in note for note in listener.notes)


def test_settings_of_volumes_are_said_to_have_no_effect() -> None:
    (line,) = ignored_settings({"prediction.tta": True, "plan.batch_size": 2})
    assert line == "warning: prediction.tta has no effect: frames are predicted whole, once"


def test_a_second_call_takes_plan_and_split_as_they_are(
    frames: Path, tmp_path: Path, quick: dict[str, Any], listener: Any
) -> None:
    run = tmp_path / "run"
    first = prepared_in(frames, run, quick, listener)
    plan = json.loads(first.run.plan.read_text())
    first.run.plan.write_text(json.dumps({**plan, "batch_size": 3}))
    second = prepared_in(frames, run, {}, listener)
    assert second.plan.batch_size == 3
    assert second.split == first.split
    assert f"plan and split: as they are in {second.run.path}" in listener.notes
    assert "plan.json was edited: batch_size is 3, was 2" in listener.notes


def test_a_deleted_split_is_made_anew_and_a_broken_one_is_refused(
    frames: Path, tmp_path: Path, quick: dict[str, Any], listener: Any
) -> None:
    first = prepared_in(frames, tmp_path / "run", quick, listener)
    written = first.run.splits.read_text()
    first.run.splits.unlink()
    again = prepared_in(frames, tmp_path / "run", {}, listener)
    assert again.split == first.split
    assert first.run.splits.read_text() == written
    first.run.splits.write_text(json.dumps({**json.loads(written), "test": []}))
    with pytest.raises(SplitError, match=r"splits\.json: test is empty"):
        prepared_in(frames, tmp_path / "run", {}, listener)


def test_a_dataset_that_changed_is_refused(frames: Path, tmp_path: Path, quick: dict[str, Any], listener: Any) -> None:
    root = shutil.copytree(frames, tmp_path / "Frames")
    prepared_in(root, tmp_path / "run", quick, listener)
    content = json.loads((root / "annotations.json").read_text())
    content["annotations"].pop()
    (root / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(PlanError, match="the dataset has changed since this plan was made"):
        prepared_in(root, tmp_path / "run", {}, listener)


def test_fresh_puts_the_old_run_aside(frames: Path, tmp_path: Path, quick: dict[str, Any], listener: Any) -> None:
    first = prepared_in(frames, tmp_path / "run", quick, listener)
    plan = first.run.plan.read_text()
    first.run.last.parent.mkdir(exist_ok=True)
    first.run.last.write_bytes(b"weights")
    prepare_instances(aimed(frames, tmp_path / "run", {**quick, "plan.batch_size": 1}, fresh=True), listener)
    (said,) = [note for note in listener.notes if note.startswith("the old run is in ")]
    aside = Path(said.removeprefix("the old run is in "))
    assert (aside / "plan.json").read_text() == plan
    assert not first.run.last.exists()


@pytest.mark.parametrize("monitor", ["val_ap", "val_loss", "val_ap_red"])
def test_a_column_of_the_validation_may_be_watched(
    frames: Path, tmp_path: Path, quick: dict[str, Any], listener: Any, monitor: str
) -> None:
    prepared = prepared_in(frames, tmp_path / "run", {**quick, "training.monitor": monitor}, listener)
    assert prepared.plan.training.monitor == monitor


def test_a_column_that_nothing_fills_is_refused(
    frames: Path, tmp_path: Path, quick: dict[str, Any], listener: Any
) -> None:
    with pytest.raises(PlanError, match="val_dice"):
        prepared_in(frames, tmp_path / "run", {**quick, "training.monitor": "val_dice"}, listener)


def test_patience_zero_is_off(frames: Path, tmp_path: Path, quick: dict[str, Any], listener: Any) -> None:
    prepared = prepared_in(frames, tmp_path / "run", quick, listener)
    explicit = {**quick, "training.patience": 0}
    plan = new_plan(prepared.dataset, prepared.fingerprint, prepared.split, explicit, build_settings(explicit))
    assert plan.training.patience is None


def test_a_plan_is_measured_once_and_again_after_an_edit(
    frames: Path, tmp_path: Path, quick: dict[str, Any], listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refits = []

    def measure(prepared: PreparedInstances, *_: Any, refit: bool, **__: Any) -> Any:
        refits.append(refit)
        return prepared.plan

    monkeypatch.setattr("goodfit.commands.instances.prepare.measure_instance_plan", measure)
    run = tmp_path / "run"
    for _ in range(2):
        with_measurement(prepared_in(frames, run, quick, listener), Recipe(), listener, 0.0)
    assert refits == [True], "once is enough"
    plan = json.loads((run / "plan.json").read_text())
    (run / "plan.json").write_text(json.dumps({**plan, "batch_size": 3}))
    with_measurement(prepared_in(frames, run, {}, listener), Recipe(), listener, 0.0)
    assert refits == [True, False], "an edited plan is timed, and keeps what was edited"
