"""Real processes that are killed, stopped and gone on with; the end is that of a run that nobody disturbed."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import goodfit
from goodfit.cli.app import app
from goodfit.training.checkpoint import load_checkpoint
from goodfit.training.metrics_log import read_rows
from goodfit.training.requests import POLL_SECONDS
from goodfit.training.rows import MACHINE, TIMES
from goodfit.training.run_folder import RunFolder

_spec = importlib.util.spec_from_file_location("boxes", Path(__file__).with_name("conftest.py"))
assert _spec is not None
assert _spec.loader is not None
_boxes = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_boxes)

EPOCHS, STEPS, PERIOD = 4, 5, 3
ROWS = [3, 5, 6, 9, 10, 12, 15, 18, 20]
SETTINGS = {
    "budget.epochs": EPOCHS,
    "budget.steps_per_epoch": STEPS,
    "plan.batch_size": 2,
    "plan.patch_size": [8, 16, 16],
    "machine.device": "cpu",
    "training.validate_every": PERIOD,
    "training.warmup": 0,
    "training.cooldown": 0.2,
    "training.validation_share": 1,  # no clock decides how many cases are measured, and when
    "training.hooks": ["scripted:Scripted"],
}
Script = list[tuple[str, int]]

SCRIPTED = '''
import json, os, threading, time
from pathlib import Path
import goodfit

MOMENTS = ("before_step", "after_backward", "after_step", "after_validation", "after_epoch")


def die(*_):
    os.kill(os.getpid(), 9)


class Scripted(goodfit.Hook):
    """Does what script.json in the run folder says, each line once: dies at a moment of a step, or waits."""

    def __init__(self):
        self.calls = 0

    def before_train(self, context):
        what, count = self.first(context)
        if what == "fsync":  # the content of a checkpoint is there, its name is not
            self.drop(context)
            self.patch(os, "fsync", count, lambda *_: threading.current_thread().name.startswith("checkpoint"))
        if what == "rename":  # the last checkpoint is called previous already, the new one is not called last yet
            self.drop(context)
            self.patch(Path, "replace", count, lambda _, target: Path(target).name == "last.safetensors"
                       and threading.current_thread().name.startswith("checkpoint"))

    def patch(self, owner, name, count, applies):
        original, left = getattr(owner, name), [count]

        def replacement(*arguments):
            if applies(*arguments):
                left[0] -= 1
                if left[0] == 0:
                    die()
            return original(*arguments)

        setattr(owner, name, replacement)

    def first(self, context):
        file = context.run.path / "script.json"
        script = json.loads(file.read_text()) if file.is_file() else []
        return script[0] if script else (None, 0)

    def drop(self, context):
        file = context.run.path / "script.json"
        file.write_text(json.dumps(json.loads(file.read_text())[1:]))

    def called(self, moment, context):
        self.calls += 1
        context.record("hook_calls", self.calls)
        what, step = self.first(context)
        if (what, step) == (moment, context.step):
            self.drop(context)
            die()
        if (what, moment, step) == ("wait", "after_step", context.step):
            self.drop(context)
            (context.run.path / "waiting").touch()
            while not (context.run.path / "go").exists():
                time.sleep(0.02)
            (context.run.path / "waiting").unlink()
            (context.run.path / "go").unlink()

    def state_dict(self):
        return {"calls": self.calls}

    def load_state_dict(self, state):
        self.calls = state["calls"]


for moment in MOMENTS:
    setattr(Scripted, moment, lambda self, context, moment=moment: self.called(moment, context))


class Brisk(goodfit.Recipe):
    """Overrides what people override."""

    epochs = 3
    steps_per_epoch = 20
    learning_rate = 1e-3

    def build_optimizer(self, network, plan, default):
        import torch

        return torch.optim.RAdam(network.parameters(), lr=plan.training.learning_rate)
'''


class Program:
    """``goodfit`` as a user calls it, in a folder with the module of the hook."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "goodfit", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            # The same number of threads in each process: it has a part in the last bits.
            env={**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
        )

    def call(self, *arguments: object, code: int = 0) -> str:
        return end(self.start(*arguments), code)


def end(process: subprocess.Popen[str], code: int) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    return output


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    folder = tmp_path_factory.mktemp("here")
    (folder / "scripted.py").write_text(SCRIPTED)
    return Program(folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = _boxes.write_dataset(tmp_path_factory.mktemp("data") / "Dataset001_Boxes", cases=5)
    return root


@pytest.fixture(scope="module")
def planned(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("planned") / "run"
    goodfit.plan(data, run=run, settings=SETTINGS)
    return run


@pytest.fixture(scope="module")
def whole(planned: Path, data: Path, program: Program, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that nobody disturbed."""
    run = shutil.copytree(planned, tmp_path_factory.mktemp("whole") / "run")
    program.call("train", data, "--run", run)
    return RunFolder(run)


@pytest.fixture
def run(planned: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(shutil.copytree(planned, tmp_path / "run"))


def write_script(run: RunFolder, script: Script) -> None:
    (run.path / "script.json").write_text(json.dumps(script))


def read_script(run: RunFolder) -> list[object]:
    return list(json.loads((run.path / "script.json").read_text()))


def edit_plan(run: RunFolder, **training: object) -> None:
    plan = json.loads(run.plan.read_text())
    plan["training"] |= training
    run.plan.write_text(json.dumps(plan))


def same_training(one: RunFolder, other: RunFolder) -> None:
    """Weights, curves and transitions of two runs are equal, bit for bit; only clocks and machine may differ."""
    checkpoints = [load_checkpoint(run.last) for run in (one, other)]
    for group in ("network", "average", "optimizer"):
        tensors = [checkpoint.groups[group] for checkpoint in checkpoints]
        assert tensors[0].keys() == tensors[1].keys()
        assert len(tensors[0]) > 10
        for name, tensor in tensors[0].items():
            assert torch.equal(tensor, tensors[1][name]), (group, name)
    assert curves(one) == curves(other)
    assert one.read_events() == other.read_events()
    assert one.scores.read_bytes() == other.scores.read_bytes()


def curves(run: RunFolder) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k not in (*MACHINE, *TIMES)} for row in read_rows(run.metrics)]


def test_an_undisturbed_run(whole: RunFolder) -> None:
    rows = curves(whole)
    assert [int(row["step"]) for row in rows] == ROWS
    assert [int(row["step"]) for row in rows if row["val_loss"]] == [3, 6, 9, 12, 15, 18, 20]
    assert rows[-1]["hook_calls"] == str(3 * EPOCHS * STEPS + 7 + EPOCHS - 1)
    assert whole.read_record()["status"] == "finished"


MOMENTS = ("before_step", "after_backward", "after_step", "after_validation", "after_epoch", "fsync", "rename")


@pytest.mark.parametrize(
    ("workers", "checkpoint_seconds", "script"),
    [
        pytest.param(0, 1e-6, [("after_backward", 4), ("fsync", 3)], id="checkpoints after every step"),
        pytest.param(2, 600.0, [("after_validation", 9), ("rename", 2)], id="two workers, checkpoints after epochs"),
    ],
)
def test_killed_and_resumed_it_ends_as_if_nothing_had_happened(
    whole: RunFolder,
    run: RunFolder,
    data: Path,
    program: Program,
    workers: int,
    checkpoint_seconds: float,
    script: Script,
) -> None:
    write_script(run, script)
    edit_plan(run, checkpoint_seconds=checkpoint_seconds)
    program.call("train", data, "--run", run.path, "--workers", workers, code=-signal.SIGKILL)
    for left in range(len(script) - 1, 0, -1):
        assert len(read_script(run)) == left
        program.call("resume", run.path, "--workers", workers, code=-signal.SIGKILL)
    assert read_script(run) == []
    assert "going on from step" in program.call("resume", run.path, "--workers", workers)
    same_training(whole, run)
    assert not list(run.path.rglob(".new-*"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_at_many_random_places(
    whole: RunFolder, run: RunFolder, data: Path, program: Program, seed: int, workers: int
) -> None:
    dice = random.Random(100 * workers + seed)
    edit_plan(run, checkpoint_seconds=dice.choice((1e-6, 600.0)))
    for _ in range(6):
        moment = dice.choice(MOMENTS)
        write_script(run, [(moment, dice.randint(1, 4) if moment in ("fsync", "rename") else dice.randint(1, 20))])
        process = program.start("train", data, "--run", run.path, "--workers", workers)
        output, _ = process.communicate(timeout=300)
        assert process.returncode in (0, -signal.SIGKILL), output
    write_script(run, [])
    program.call("resume", run.path, "--workers", workers)
    same_training(whole, run)


def wait_for(run: RunFolder, process: subprocess.Popen[str]) -> None:
    """Wait until the training waits for us."""
    until = time.monotonic() + 120
    while not (run.path / "waiting").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.02)


def let_go_on(run: RunFolder) -> None:
    time.sleep(1.1 * POLL_SECONDS)
    (run.path / "go").touch()


def test_sigterm_with_grace_and_stop_now_save_and_leave(
    whole: RunFolder, run: RunFolder, data: Path, program: Program
) -> None:
    write_script(run, [("wait", 4), ("wait", 11)])
    process = program.start("train", data, "--run", run.path, "--grace", "60s")
    wait_for(run, process)
    process.send_signal(signal.SIGTERM)
    let_go_on(run)
    assert f"Interrupted and saved. Next: goodfit resume {run.path}" in end(process, 130)
    assert run.read_record()["status"] == "interrupted"
    assert load_checkpoint(run.last).state["progress"]["control"]["step"] == 4

    process = program.start("resume", run.path)
    wait_for(run, process)
    assert "the training saves after its step and leaves" in program.call("stop", run.path, "--now")
    let_go_on(run)
    assert "asked by `goodfit stop`: saved step 11" in end(process, 130)
    assert not run.stop.exists()

    program.call("resume", run.path)
    same_training(whole, run)


def test_stop_begins_the_cooldown_and_the_run_ends_scored(run: RunFolder, data: Path, program: Program) -> None:
    write_script(run, [("wait", 7)])
    process = program.start("train", data, "--run", run.path)
    wait_for(run, process)
    assert "the cooldown begins after the running step" in program.call("stop", run.path)
    let_go_on(run)
    end(process, 0)
    events = run.read_events()
    assert [(event["step"], event["phase"]) for event in events] == [(5, "stable"), (7, "cooldown"), (9, "done")]
    assert events[1]["reason"] == "epoch 2: asked by `goodfit stop`: cooldown of 2 steps (0.4 epochs) begins"
    assert [(row["step"], row["phase"]) for row in curves(run)][-1] == ("9", "cooldown")
    assert run.scores.is_file()
    assert run.report.is_file()
    said = program.call("stop", run.path, code=1)
    assert "nobody is training here (status: finished)" in said


def digests(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def longer(whole: RunFolder, program: Program, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The undisturbed run, extended by two epochs."""
    before = digests(whole.path)
    longer = RunFolder(tmp_path_factory.mktemp("longer") / "run")
    program.call("extend", whole.path, "--epochs", EPOCHS + 2, "--to", longer.path)
    assert digests(whole.path) == before, "the first run is as it was"
    return longer


def test_an_extension_goes_on_from_the_state_before_the_cooldown(
    whole: RunFolder, longer: RunFolder, program: Program, tmp_path: Path
) -> None:
    assert longer.read_record()["extends"] == str(whole.path.resolve())
    cooled = whole.read_events()[1]["step"]
    assert cooled == 15
    assert [row for row in curves(longer) if int(row["step"]) <= cooled] == curves(whole)[: ROWS.index(cooled) + 1]
    assert {row["phase"] for row in curves(longer) if int(row["step"]) <= 25} == {"warmup", "stable"}
    assert [int(row["step"]) for row in curves(longer)] == [*ROWS, 21, 24, 25, 27, 30]
    assert longer.read_record()["status"] == "finished"
    said = program.call("extend", whole.path, "--epochs", 3, "--to", tmp_path / "none", code=2)
    assert "has done 3 epochs before its cooldown" in said
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_an_extension_is_the_run_that_was_asked_for_that_long(
    longer: RunFolder, run: RunFolder, data: Path, program: Program
) -> None:
    plan = json.loads(run.plan.read_text())
    plan["budget"]["epochs"] = EPOCHS + 2
    run.plan.write_text(json.dumps(plan))
    program.call("train", data, "--run", run.path)
    same_training(longer, run)


def test_validation_by_steps_hook_and_recipe_as_options(
    data: Path, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(program.folder)
    monkeypatch.syspath_prepend(str(program.folder))
    logger = logging.getLogger("goodfit")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logger.level)
    run = RunFolder(tmp_path / "run")
    options = ["--batch-size", "2", "--patch-size", "8x16x16", "--device", "cpu", "--epochs", "2"]
    options += ["--validate-every", "10", "--hook", "scripted:Scripted", "--recipe", "scripted:Brisk"]
    shown = CliRunner().invoke(app, ["train", str(data), "--run", str(run.path), *options])
    assert shown.exit_code == 0, (shown.output, shown.exception)
    rows = curves(run)
    assert [int(row["step"]) for row in rows if row["val_loss"]] == [10, 20, 30, 40]
    assert all(int(row["hook_calls"]) > 0 for row in rows)
    plan = json.loads(run.plan.read_text())
    assert (plan["budget"]["epochs"], plan["budget"]["steps_per_epoch"]) == (2, 20), "an option goes before the recipe"
    assert plan["training"]["learning_rate"] == 1e-3
    settings = run.read_record()["settings"]
    assert settings["training.hooks"] == ["scripted:Scripted"]
    assert settings["training.recipe"] == "scripted:Brisk"
    assert load_checkpoint(run.last).state["hooks"] == {"0:scripted:Scripted": {"calls": 3 * 40 + 4 + 2}}
