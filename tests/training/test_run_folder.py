"""Run folders and their lock."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from goodfit.errors import RunError, SettingsError
from goodfit.training.controller import Event
from goodfit.training.run_folder import IMPORTED, RunFolder, environment, locked

if TYPE_CHECKING:
    from pathlib import Path


def test_record_is_updated_not_replaced(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.update_record(dataset="d", status="planned")
    run.update_record(status="training")
    assert run.read_record() == {"dataset": "d", "status": "training"}


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run folder"):
        RunFolder(tmp_path).read_record()


def test_an_imported_model_has_no_training_to_go_on_with(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.update_record(status="finished")
    assert run.require_trained_here() == {"status": "finished"}
    run.update_record(status=IMPORTED)
    with pytest.raises(RunError, match=rf"goodfit train DATASET --initialise-from {tmp_path}"):
        run.require_trained_here()


def test_events_of_steps_done_anew_are_dropped(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for step in (10, 20, 30):
        run.add_event(Event(step // 10, step, "stable", "why"))
    run.keep_events(2)
    assert [event["step"] for event in run.read_events()] == [10, 20]


def test_a_second_process_is_kept_out_and_told_who_is_inside(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from goodfit.training.run_folder import locked\n"
        "with locked(Path(sys.argv[1]), 'run'):\n"
        "    print('inside', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "inside\n"
        with pytest.raises(RunError, match=f"process {other.pid} .* is working on this run"), locked(tmp_path, "run"):
            pass
        other.communicate("")
    with locked(tmp_path, "run"):
        assert (tmp_path / ".owner").is_file()
    assert not (tmp_path / ".owner").exists()


def test_environment_names_what_results_depend_on() -> None:
    found = environment("cpu", 2)
    assert found["threads"] == 2
    assert found["packages"]["torch"]


def test_checkpoints_are_known_by_three_names(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert [run.checkpoint(name) for name in ("best", "last", "stable")] == [run.best, run.last, run.stable]
    with pytest.raises(SettingsError, match="no 'first'; write best, last, stable"):
        run.checkpoint("first")
