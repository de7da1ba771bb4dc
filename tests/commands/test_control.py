"""Ending a training that runs elsewhere, and going on with one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from goodfit.commands import control as module
from goodfit.commands.control import in_use, resume, stop
from goodfit.errors import RunError
from goodfit.observer import Observer
from goodfit.training.hooks import Hook
from goodfit.training.recipe import Recipe
from goodfit.training.run_folder import RunFolder, locked

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    return folder


@pytest.mark.parametrize("now", [False, True])
def test_the_process_that_trains_is_asked_through_a_file(run: RunFolder, now: bool) -> None:
    run.update_record(status="training")
    with locked(run.path, "run"):
        stop(run.path, now=now)
    assert json.loads(run.stop.read_text())["now"] is now


@pytest.mark.parametrize(
    ("status", "working"), [("planned", True), ("trained", True), ("finished", False), ("training", False)]
)
def test_where_nobody_trains_nobody_is_asked(run: RunFolder, status: str, working: bool) -> None:
    run.update_record(status=status)
    said = rf"nobody is training here \(status: {status}\)\. `goodfit resume` goes on"
    if working:
        with locked(run.path, "run"), pytest.raises(RunError, match=said):
            stop(run.path)
    else:
        with pytest.raises(RunError, match=said):
            stop(run.path)
    assert not run.stop.exists()


def test_a_folder_that_is_no_run_cannot_be_stopped_or_resumed(tmp_path: Path) -> None:
    for command in (stop, resume):
        with pytest.raises(RunError, match="no run folder"):
            command(tmp_path)


def test_the_lock_tells_whether_a_folder_is_in_use_and_looking_does_not_take_it(run: RunFolder) -> None:
    assert not in_use(run.path)
    with locked(run.path, "run"):
        assert in_use(run.path)
        assert in_use(run.path)
    assert not in_use(run.path)
    with locked(run.path, "run"):
        pass


class Mine(Recipe):
    """A recipe."""


def test_resume_trains_on_with_the_runs_own_dataset(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    got: dict[str, Any] = {}

    def train(*arguments: Any, **options: Any) -> str:
        got.update(options, arguments=arguments)
        return "the result"

    monkeypatch.setattr(module, "train", train)
    asked = {"training.seed": 1, "budget.time": 60.0}
    changeable = {"machine.workers": 4, "prediction.tta": True}
    run.update_record(dataset=str(tmp_path), status="interrupted", settings={**asked, **changeable})
    hook, observer = Hook(), Observer()
    assert resume(str(run.path), hooks=[hook], recipe=Mine, observer=observer, workers=2) == "the result"
    assert got == {
        "arguments": (tmp_path,),
        "run": run.path,
        "settings": asked,
        "hooks": [hook],
        "recipe": Mine,
        "observer": observer,
        "workers": 2,
    }


def test_resume_says_how_to_name_a_dataset_that_moved(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.update_record(dataset=str(tmp_path / "gone"), status="interrupted", settings={})
    with pytest.raises(RunError, match=r"gone: the dataset of .* Say where it is with --dataset"):
        resume(run.path)
    monkeypatch.setattr(module, "train", lambda place, **options: (place, options["settings"]))
    run.update_record(settings={"data.group_by": "(.+)"})
    assert resume(run.path, dataset=tmp_path) == (tmp_path, {"data.group_by": "(.+)"})


@pytest.mark.parametrize("record", [{}, {"dataset": None}, {"dataset": 3}])
def test_a_run_that_does_not_know_its_dataset_cannot_be_resumed(run: RunFolder, record: dict[str, Any]) -> None:
    run.update_record(status="interrupted", **record)
    with pytest.raises(RunError, match=r"run\.json: does not say which dataset"):
        resume(run.path)
