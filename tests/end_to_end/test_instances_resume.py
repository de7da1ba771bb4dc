"""Trainings on generated rooms that are killed and gone on with: the end is that of a run that nobody disturbed."""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import goodfit
from goodfit.phantoms.rooms import write_rooms
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

pytestmark = pytest.mark.slow


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_resume: Any = _load("test_resume")

EPOCHS, STEPS, PERIOD = 3, 4, 3
ROWS = [3, 4, 6, 8, 9, 12]
SETTINGS = {
    "model.weights": "none",
    "model.image_min_size": 64,
    "model.image_max_size": 96,
    "model.rpn_candidates_train": 50,
    "model.rpn_proposals_train": 50,
    "model.rpn_candidates_test": 50,
    "model.rpn_proposals_test": 20,
    "model.regions_per_image": 16,
    "model.detections_per_image": 5,
    "plan.batch_size": 2,
    "budget.epochs": EPOCHS,
    "budget.steps_per_epoch": STEPS,
    "training.validate_every": PERIOD,
    "training.warmup": 0,
    "training.validation_share": 1,  # no clock decides how many frames are measured, and when
    "training.hooks": ["scripted:Scripted"],
    "machine.device": "cpu",
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("here")
    (folder / "scripted.py").write_text(_resume.SCRIPTED)
    return _resume.Program(folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rooms(tmp_path_factory.mktemp("data") / "rooms", videos=4, frames=8)


@pytest.fixture(scope="module")
def planned(data: Path, program: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("planned") / "run"
    goodfit.plan(data, run=run, settings=SETTINGS)
    return run


@pytest.fixture(scope="module")
def whole(planned: Path, data: Path, program: Any, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that nobody disturbed."""
    run = shutil.copytree(planned, tmp_path_factory.mktemp("whole") / "run")
    program.call("train", data, "--run", run)
    return RunFolder(run)


@pytest.fixture
def run(planned: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(shutil.copytree(planned, tmp_path / "run"))


def test_an_undisturbed_run(whole: RunFolder) -> None:
    rows = _resume.curves(whole)
    assert [int(row["step"]) for row in rows] == ROWS
    validated = [int(row["step"]) for row in rows if row["val_loss"]]
    assert validated == [3, 6, 9, 12], "exactly budget / period"
    assert all(row["val_ap"] and row["val_loss_rpn_box"] for row in rows if row["val_loss"])
    assert whole.read_record()["status"] == "finished"


@pytest.mark.parametrize(
    ("workers", "checkpoint_seconds", "script"),
    [
        pytest.param(0, 1e-6, [("after_backward", 5)], id="no workers, killed in a step"),
        pytest.param(2, 600.0, [("after_validation", 6), ("rename", 2)], id="two workers, killed twice"),
    ],
)
def test_killed_and_resumed_it_ends_as_if_nothing_had_happened(
    whole: RunFolder,
    run: RunFolder,
    data: Path,
    program: Any,
    workers: int,
    checkpoint_seconds: float,
    script: list[tuple[str, int]],
) -> None:
    _resume.write_script(run, script)
    _resume.edit_plan(run, checkpoint_seconds=checkpoint_seconds)
    program.call("train", data, "--run", run.path, "--workers", workers, code=-signal.SIGKILL)
    for _ in range(len(script) - 1):
        program.call("resume", run.path, "--workers", workers, code=-signal.SIGKILL)
    assert _resume.read_script(run) == []
    assert "going on from step" in program.call("resume", run.path, "--workers", workers)
    _resume.same_training(whole, run)
    steps = [int(row["step"]) for row in _resume.curves(run)]
    assert steps == ROWS, "no gap, no double row"


def test_stopped_at_once_it_is_interrupted_and_goes_on(
    whole: RunFolder, run: RunFolder, data: Path, program: Any
) -> None:
    _resume.write_script(run, [("wait", 5)])
    process = program.start("train", data, "--run", run.path)
    _resume.wait_for(run, process)
    program.call("stop", run.path, "--now")
    _resume.let_go_on(run)
    assert f"Interrupted and saved. Next: goodfit resume {run.path}" in _resume.end(process, 130)
    assert run.read_record()["status"] == "interrupted"
    program.call("resume", run.path)
    _resume.same_training(whole, run)


def test_an_extension_goes_on_from_the_state_before_the_cooldown(
    whole: RunFolder, program: Any, tmp_path: Path
) -> None:
    before = _resume.digests(whole.path)
    longer = RunFolder(tmp_path / "longer")
    program.call("extend", whole.path, "--epochs", EPOCHS + 1, "--to", longer.path)
    assert _resume.digests(whole.path) == before, "the first run is as it was"
    cooled = next(event["step"] for event in whole.read_events() if "cooldown of" in event["reason"])
    kept = [row for row in _resume.curves(whole) if int(row["step"]) <= cooled]
    assert _resume.curves(longer)[: len(kept)] == kept
    assert int(_resume.curves(longer)[-1]["step"]) == (EPOCHS + 1) * STEPS
    assert json.loads(longer.scores.read_text())["kind"] == "instances"
