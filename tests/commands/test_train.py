"""The whole way with its stations replaced: clock, controller, statuses of the run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from goodfit.commands import fitting
from goodfit.commands import train as module
from goodfit.commands.extensions import Extensions
from goodfit.commands.fitting import Clock
from goodfit.commands.train import read_scores, train
from goodfit.errors import RunError
from goodfit.observer import Observer
from goodfit.training.recipe import Recipe
from goodfit.training.requests import ask_to_stop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.commands.plan import Prepared

NOW = 1000.0


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the clock that the command reads."""

    def put(now: float) -> None:
        for file in (module, fitting):
            monkeypatch.setattr(file, "time", SimpleNamespace(monotonic=lambda: now))

    return put


@pytest.fixture
def stations(prepare_run: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Replace what lies along the way; the values say what each station gives, ``visited`` which were reached."""
    prepared = prepare_run(budget={"time": 600.0})
    given: dict[str, Any] = {"prepared": prepared, "finishes": True, "visited": []}

    def visit(name: str, result: Callable[[], Any]) -> Callable[..., Any]:
        def station(*arguments: Any, **_: Any) -> Any:
            given["visited"].append(name)
            given[name] = arguments
            return result()

        return station

    target = SimpleNamespace(run=prepared.run, cache=prepared.cache, fresh=False, settings=prepared.settings)
    monkeypatch.setattr(module, "aim", lambda *_, **__: target)
    monkeypatch.setattr(module, "prepare", visit("prepare", lambda: prepared))
    monkeypatch.setattr(module, "fill_store", visit("store", lambda: {"3d_fullres": "the store"}))
    monkeypatch.setattr(module, "_fit", visit("fit", lambda: given["finishes"]))
    monkeypatch.setattr(module, "predict_test_cases", visit("predict", lambda: "the scores"))
    monkeypatch.setattr(module, "report", visit("report", lambda: prepared.run.report))
    prepared.run.update_record(status="planned", spent_seconds=25.0, settings={})
    return given


def test_a_training_goes_the_whole_way(stations: dict[str, Any], at: Callable[[float], None], root: Path) -> None:
    at(NOW)
    result = train(root)
    run = stations["prepared"].run
    assert stations["visited"] == ["prepare", "store", "fit", "predict", "report"]
    assert (result.finished, result.scores, result.report) == (True, "the scores", run.report)
    assert result.run == run
    _, store, clock, extensions, _ = stations["fit"]
    assert store == "the store"
    assert (extensions.hooks, type(extensions.recipe)) == ((), Recipe)
    assert (clock.limit, clock.started, clock.spent) == (600.0, NOW, 25.0)
    assert run.read_record()["status"] == "finished"
    assert run.read_record()["spent_seconds"] == 25.0


def test_an_interrupted_training_is_not_scored(stations: dict[str, Any], root: Path) -> None:
    stations["finishes"] = False
    result = train(root)
    assert stations["visited"] == ["prepare", "store", "fit"]
    assert (result.finished, result.scores, result.report) == (False, None, None)
    record = stations["prepared"].run.read_record()
    assert record["status"] == "interrupted"
    assert record["spent_seconds"] > 25.0


def test_what_fails_after_training_leaves_a_trained_run_and_its_time(
    stations: dict[str, Any], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RunError("no checkpoint")

    monkeypatch.setattr(module, "predict_test_cases", fail)
    with pytest.raises(RunError, match="no checkpoint"):
        train(root)
    record = stations["prepared"].run.read_record()
    assert record["status"] == "trained"
    assert record["spent_seconds"] > 25.0


def test_a_finished_run_is_only_read(
    stations: dict[str, Any], root: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stations["prepared"].run.update_record(status="finished")
    monkeypatch.setattr(module, "read_scores", lambda run: f"scores of {run.path.name}")
    result = train(root, observer=listener)
    assert stations["visited"] == ["prepare"]
    assert (result.finished, result.scores) == (True, "scores of run")
    assert any("--fresh starts another" in note for note in listener.notes)


def test_scores_that_are_not_there_are_named(prepare_run: Callable[..., Prepared]) -> None:
    with pytest.raises(RunError, match=r"scores\.json"):
        read_scores(prepare_run().run)


@pytest.mark.parametrize(
    ("wishes", "times"),
    [
        ({}, 1),
        ({"prediction.tta": True}, 8),
        ({"prediction.step_size": 0.25}, 8),
        ({"prediction.tta": True, "prediction.step_size": 0.25}, 64),
        ({"prediction.step_size": 1}, 1),
    ],
)
def test_the_task_of_the_plan_is_fitted_with_the_effort_of_its_prediction(
    prepare_run: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch, wishes: dict[str, Any], times: int
) -> None:
    fitted: dict[str, Any] = {}

    def fit_task(task: Any, *arguments: Any, effort: float) -> bool:
        fitted.update(task=task, arguments=arguments, effort=effort)
        return False

    monkeypatch.setattr(module, "SegmentationTask", lambda *arguments: arguments)
    monkeypatch.setattr(module, "fit_task", fit_task)
    prepared = prepare_run({"machine.workers": 3, **wishes})
    clock, extensions, observer = Clock(600.0, NOW, spent=0), Extensions((), Recipe()), Observer()
    assert not module._fit(prepared, "the store", clock, extensions, observer)
    cpu = torch.device("cpu")
    assert fitted["task"] == (prepared.plan, "the store", ["c0", "c1", "c2"], ["c3"], cpu, 3, extensions.recipe)
    assert fitted["arguments"] == (prepared, clock, extensions, observer)
    assert fitted["effort"] == times


def test_a_wish_to_stop_an_earlier_sitting_is_forgotten(stations: dict[str, Any], root: Path) -> None:
    run = stations["prepared"].run
    ask_to_stop(run.stop, now=True)
    train(root)
    assert not run.stop.exists()
