"""The training loop, on a task of milliseconds."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goodfit.errors import RunError
from goodfit.planning.plan import Training
from goodfit.training.checkpoint import load_checkpoint
from goodfit.training.controller import ControllerSettings
from goodfit.training.loop import Trainer
from goodfit.training.metrics_log import read_rows
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable

_spec = importlib.util.spec_from_file_location("toy", Path(__file__).with_name("toy.py"))
assert _spec is not None
assert _spec.loader is not None
toy = importlib.util.module_from_spec(_spec)
__import__("sys").modules["toy"] = toy
_spec.loader.exec_module(toy)

TRAINING = Training(learning_rate=0.02, precision="float32", patience=None)
CONTROL = ControllerSettings(
    epochs=6,
    steps_per_epoch=5,
    warmup_steps=3,
    cooldown=0.25,
    patience=None,
    min_delta=0.001,
    monitor="val_dice",
    larger_is_better=True,
)
TIMED = ("seconds", "train_seconds", "data_seconds", "validation_seconds", "elapsed_seconds")


def train(
    folder: Path,
    before_loss: Callable[[int], None] = lambda _step: None,
    training: Training = TRAINING,
    control: ControllerSettings = CONTROL,
    **more: Any,
) -> tuple[Any, bool]:
    task = toy.ToyTask(before_loss)
    finished = Trainer(task, training, control, RunFolder(folder), **more).train()
    return task, finished


def rows_without_times(folder: Path) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k not in TIMED} for row in read_rows(folder / "metrics.csv")]


def test_a_run_leaves_everything_and_learns(tmp_path: Path) -> None:
    _, finished = train(tmp_path)
    run = RunFolder(tmp_path)
    rows = read_rows(run.metrics)
    assert finished
    assert [int(row["step"]) for row in rows] == [5, 10, 15, 20, 25, 30]
    assert [row["phase"] for row in rows] == ["warmup", *["stable"] * 3, "cooldown", "cooldown"]
    assert float(rows[-1]["val_loss"]) < 0.8 * float(rows[0]["val_loss"])
    assert run.best.is_file()
    assert run.last.is_file()
    assert run.stable.is_file()
    assert [event["phase"] for event in run.read_events()] == ["stable", "cooldown", "done"]


def test_golden_numbers(tmp_path: Path) -> None:
    """A refactoring of the loop must not change a bit of this."""
    train(tmp_path)
    rows = read_rows(tmp_path / "metrics.csv")
    assert float(rows[0]["train_loss"]) == pytest.approx(GOLDEN_FIRST, rel=1e-6)
    assert float(rows[-1]["val_loss"]) == pytest.approx(GOLDEN_LAST, rel=1e-5)


GOLDEN_FIRST = 6.489491748809814
GOLDEN_LAST = 0.6010370254516602


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(0, 29), min_size=1, max_size=3, unique=True))
def test_a_killed_run_resumed_is_the_uninterrupted_run(
    tmp_path_factory: pytest.TempPathFactory, kills: list[int]
) -> None:
    whole, killed = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("killed")
    train(whole)
    for at in sorted(kills):

        def kill(step: int, at: int = at) -> None:
            if step == at:
                raise Killed

        with pytest.raises(Killed):
            train(killed, kill)
    train(killed)
    one, other = (load_checkpoint(RunFolder(folder).last) for folder in (whole, killed))
    for group in ("network", "average", "optimizer"):
        for name, tensor in one.groups[group].items():
            assert torch.equal(tensor, other.groups[group][name]), (group, name)
    assert rows_without_times(whole) == rows_without_times(killed)
    assert json.loads((whole / "events.json").read_text()) == json.loads((killed / "events.json").read_text())


def test_a_signal_saves_in_the_middle_of_an_epoch_and_the_next_call_goes_on(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(whole)

    def interrupt(step: int) -> None:
        if step == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    _, finished = train(stopped, interrupt)
    assert not finished
    assert load_checkpoint(RunFolder(stopped).last).state["control"]["step"] == 8
    _, finished = train(stopped)
    assert finished
    assert rows_without_times(whole) == rows_without_times(stopped)


def test_validation_leaves_training_untouched(tmp_path: Path) -> None:
    class NeverValidating(toy.ToyTask):  # type: ignore[misc,name-defined]
        def validation_loss(self, network: torch.nn.Module) -> float:
            return math.nan

    train(tmp_path / "with")
    Trainer(NeverValidating(), TRAINING, CONTROL, RunFolder(tmp_path / "without")).train()
    one, other = (load_checkpoint(RunFolder(tmp_path / name).last) for name in ("with", "without"))
    for name, tensor in one.groups["network"].items():
        assert torch.equal(tensor, other.groups["network"][name])


def test_a_loss_that_is_not_finite_names_step_and_cases(tmp_path: Path) -> None:
    class Exploding(toy.ToyTask):  # type: ignore[misc,name-defined]
        def loss(self, network: torch.nn.Module, batch: Any, step: int) -> torch.Tensor:
            return super().loss(network, batch, step) * (math.inf if step == 8 else 1.0)

    with pytest.raises(RunError, match=r"step 8: the loss is inf \(cases case8\)"):
        Trainer(Exploding(), TRAINING, CONTROL, RunFolder(tmp_path)).train()
    state = load_checkpoint(RunFolder(tmp_path).last)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state.groups["network"].values())


def test_validation_that_takes_too_long_uses_a_fixed_subset_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(toy.ToyTask):  # type: ignore[misc,name-defined]
        def validate(self, network: torch.nn.Module, cases: int) -> Any:
            return replace(super().validate(network, cases), seconds=1000.0 * cases)

    task = Slow()
    Trainer(task, TRAINING, CONTROL, RunFolder(tmp_path)).train()
    assert set(task.validated) == {1}
    assert "fixed subset of 1 of 5 cases" in caplog.text


def test_the_time_budget_ends_the_run_with_a_cooldown(tmp_path: Path) -> None:
    class Watch:
        """The clock runs out after some epochs."""

        left = 1e6

        def __call__(self, _seconds_per_case: float) -> float:
            self.left = 1e6 if self.left == 1e6 and self.calls < 2 else 1e-9
            self.calls += 1
            return self.left

        calls = 0

    control = replace(CONTROL, epochs=1000)
    train(tmp_path, control=control, deadline=Watch())
    events = RunFolder(tmp_path).read_events()
    assert events[-1]["phase"] == "done"
    assert [event["step"] for event in events[1:]] == [15, 19], "a run whose time is up still cools down"
    assert "time left" in events[1]["reason"]


def test_poly_schedule_and_sgd(tmp_path: Path) -> None:
    training = Training(
        learning_rate=0.01, precision="float32", patience=None, schedule="poly", optimizer="sgd", weight_decay=3e-5
    )
    train(tmp_path, training=training, control=replace(CONTROL, cooldown=0.0))
    rows = read_rows(tmp_path / "metrics.csv")
    assert [int(row["step"]) for row in rows] == [5, 10, 15, 20, 25, 30]
    assert float(rows[-1]["lr"]) == pytest.approx(0.01 * (1 / 30) ** 0.9)
