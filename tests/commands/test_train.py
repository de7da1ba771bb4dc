"""The whole way with its stations replaced: clock, controller, statuses of the run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from goodfit.commands import train as module
from goodfit.commands.extensions import Extensions
from goodfit.commands.train import (
    LONGEST_WARMUP,
    REPORT_SECONDS,
    SLOWER_THAN_VALIDATION,
    Clock,
    controller_settings,
    default_workers,
    read_scores,
    train,
)
from goodfit.errors import PlanError, RunError
from goodfit.training.hooks import Hook
from goodfit.training.loggers.tensorboard import TensorBoardLogger
from goodfit.training.loop import Progress, Report
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
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))

    return put


def test_the_clock_adds_up_all_sittings(at: Callable[[float], None]) -> None:
    at(NOW + 30)
    assert Clock(limit=None, started=NOW, spent=0).elapsed() == 30
    assert Clock(limit=100, started=NOW, spent=45).elapsed() == 75


def test_what_is_left_for_training_leaves_time_to_score_and_report(at: Callable[[float], None]) -> None:
    at(NOW + 30)
    clock = Clock(limit=600, started=NOW, spent=45)
    assert clock.left_for_training(2.0, 0) == 600 - 75 - REPORT_SECONDS
    assert clock.left_for_training(2.0, 5) == 600 - 75 - REPORT_SECONDS - SLOWER_THAN_VALIDATION * 10
    assert Clock(limit=50, started=NOW, spent=45).left_for_training(2.0, 5) < 0


def test_the_plan_is_translated_for_the_controller(prepare_run: Callable[..., Prepared]) -> None:
    training = {"patience": 7, "min_delta": 0.02, "cooldown": 0.3, "warmup": 0.1}
    control = controller_settings(prepare_run(budget={"epochs": 50, "steps_per_epoch": 20}, training=training))
    assert (control.epochs, control.steps_per_epoch, control.total_steps) == (50, 20, 1000)
    assert control.warmup_steps == 100
    assert control.cooldown == 0.3
    assert (control.patience, control.min_delta) == (7, 0.02)
    assert (control.monitor, control.larger_is_better) == ("val_dice", True)


def test_a_loss_is_better_when_smaller(prepare_run: Callable[..., Prepared]) -> None:
    for monitor in ("val_loss", "train_eval_loss"):
        assert not controller_settings(prepare_run(training={"monitor": monitor})).larger_is_better
    assert controller_settings(prepare_run(training={"monitor": "val_dice_left"})).larger_is_better


@pytest.mark.parametrize(("period", "steps"), [("1 epoch", 20), ("2 epochs", 40), ("7 steps", 7)])
def test_the_period_of_validation_is_given_in_steps(
    prepare_run: Callable[..., Prepared], period: str, steps: int
) -> None:
    prepared = prepare_run(budget={"epochs": 50, "steps_per_epoch": 20}, training={"validate_every": period})
    assert controller_settings(prepared).validation_period == steps


def test_the_polynomial_schedule_has_no_cooldown(prepare_run: Callable[..., Prepared]) -> None:
    assert controller_settings(prepare_run(training={"schedule": "poly", "cooldown": 0.3})).cooldown == 0


def test_the_warmup_goes_by_the_steps_that_are_expected(prepare_run: Callable[..., Prepared]) -> None:
    def warmup(expected: int | None, epochs: int = 1000) -> int:
        budget = {"epochs": epochs, "steps_per_epoch": 250, "expected_steps": expected}
        return controller_settings(prepare_run(budget=budget, training={"warmup": 0.02})).warmup_steps

    assert warmup(2000) == 40
    assert warmup(None) == LONGEST_WARMUP
    assert warmup(None, epochs=10) == 50
    assert warmup(10**6, epochs=10) == 50, "the budget is the most there can be"


def test_a_network_on_the_cpu_gets_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_workers(torch.device("cpu")) == 0


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 1), (6, 5), (64, 8), (None, 1)])
def test_a_gpu_gets_loaders(monkeypatch: pytest.MonkeyPatch, cores: int | None, workers: int) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert default_workers(torch.device("cuda")) == workers


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


class FakeTask:
    """Keeps what it is made of."""

    metric_columns = ("val_dice", "val_dice_left", "val_dice_right")
    loss_parts = ()

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.network = torch.nn.Linear(2, 1)


class FakeTrainer:
    """Keeps what the loop would have been given."""

    built: FakeTrainer
    finishes = True

    def __init__(self, task: Any, training: Any, control: Any, run: Any, **options: Any) -> None:
        self.task, self.training, self.control, self.run, self.options = task, training, control, run, options
        FakeTrainer.built = self

    def train(self) -> bool:
        return self.finishes


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch, listener: Any) -> Callable[..., FakeTrainer]:
    """Go up to the loop, and give what it would have been given."""
    monkeypatch.setattr(module, "Trainer", FakeTrainer)
    monkeypatch.setattr(module, "SegmentationTask", FakeTask)

    def call(
        prepared: Prepared, clock: Clock, hooks: tuple[Hook, ...] = (), recipe: Recipe | None = None
    ) -> FakeTrainer:
        prepared.run.update_record(settings={})
        extensions = Extensions(hooks, recipe or Recipe())
        assert module._fit(prepared, "the store", clock, extensions, listener)
        return FakeTrainer.built

    return call


@pytest.mark.parametrize(
    ("time", "schedule", "has_deadline"), [(600.0, "wsd", True), (600.0, "poly", False), (None, "wsd", False)]
)
def test_the_clock_ends_the_training_unless_the_end_is_fixed(
    prepare_run: Callable[..., Prepared],
    fit: Callable[..., FakeTrainer],
    listener: Any,
    at: Callable[[float], None],
    time: float | None,
    schedule: str,
    has_deadline: bool,
) -> None:
    at(NOW + 10)
    prepared = prepare_run({"machine.workers": 3}, budget={"time": time}, training={"schedule": schedule})
    clock, recipe = Clock(time, NOW, spent=5), Recipe()
    built = fit(prepared, clock, recipe=recipe)
    cpu = torch.device("cpu")
    assert built.task.arguments == (prepared.plan, "the store", ["c0", "c1", "c2"], ["c3"], cpu, 3, recipe)
    assert built.control == controller_settings(prepared)
    assert built.options["workers"] == 3
    deadline, on_report = built.options["deadline"], built.options["on_report"]
    assert (deadline is not None) == has_deadline
    assert prepared.run.trained.is_file(), "what the weights will have seen is noted"
    assert any("polynomial schedule has a fixed end" in note for note in listener.notes) == (
        schedule == "poly" and time is not None
    )
    if has_deadline:
        assert deadline(2.0) == clock.left_for_training(2.0, 1)
    record = prepared.run.read_record()
    assert record["status"] == "training"
    assert record["environment"]["device"] == "cpu"
    assert record["identity"] == built.options["identity"] == module.identity_of(prepared.run)
    assert "spent_seconds" not in record
    on_report(Report(Progress(), 10, 0.5))
    assert "spent_seconds" not in prepared.run.read_record(), "not after every step"
    on_report(Report(Progress(), 10, 0.5, row={"epoch": 1}))
    assert prepared.run.read_record()["spent_seconds"] == 15


@pytest.mark.parametrize(
    ("wishes", "times"),
    [
        ({}, 1),
        ({"tta": True}, 8),
        ({"step_size": 0.25}, 8),
        ({"tta": True, "step_size": 0.25}, 64),
        ({"step_size": 1}, 1),
    ],
)
def test_a_costlier_prediction_of_the_test_cases_is_set_aside(
    prepare_run: Callable[..., Prepared],
    fit: Callable[..., FakeTrainer],
    at: Callable[[float], None],
    wishes: dict[str, Any],
    times: int,
) -> None:
    at(NOW)
    prepared = prepare_run({f"prediction.{name}": value for name, value in wishes.items()}, budget={"time": 600.0})
    clock = Clock(600.0, NOW, spent=0)
    built = fit(prepared, clock)
    assert built.options["deadline"](2.0) == pytest.approx(clock.left_for_training(2.0 * times, 1))


def test_hooks_loggers_grace_and_the_recipes_optimizer_reach_the_loop(
    prepare_run: Callable[..., Prepared], fit: Callable[..., FakeTrainer]
) -> None:
    class Plain(Recipe):
        def build_optimizer(self, network: Any, plan: Any, default: Any) -> torch.optim.Optimizer:
            assert isinstance(default(), torch.optim.AdamW)
            return torch.optim.SGD(network.parameters(), lr=plan.training.learning_rate)

    hook = Hook()
    prepared = prepare_run({"machine.grace": "30s", "machine.log": ["tensorboard"]})
    built = fit(prepared, Clock(None, NOW, 0), (hook,), Plain())
    assert built.options["grace"] == 30
    assert built.options["hooks"][0] is hook
    assert [type(one) for one in built.options["hooks"][1:]] == [TensorBoardLogger]
    assert isinstance(built.options["optimizer"], torch.optim.SGD)
    assert prepared.run.read_record()["own_network"] is False


def test_a_network_of_the_users_own_is_noted_for_later_predictions(
    prepare_run: Callable[..., Prepared], fit: Callable[..., FakeTrainer]
) -> None:
    class Own(Recipe):
        def build_network(self, plan: Any, default: Any) -> Any:
            return default()

    prepared = prepare_run()
    fit(prepared, Clock(None, NOW, 0), recipe=type("Longer", (Own,), {"epochs": 7})())
    assert prepared.run.read_record()["own_network"] is True


def test_what_the_weights_have_seen_is_not_noted_anew_for_a_later_sitting(
    prepare_run: Callable[..., Prepared], fit: Callable[..., FakeTrainer]
) -> None:
    first = fit(prepare_run(), Clock(None, NOW, 0)).options["identity"]
    run = prepare_run().run
    # A kill between two renames leaves the previous checkpoint alone.
    run.previous.write_bytes(b"a checkpoint")
    before = run.trained.read_bytes()
    assert fit(prepare_run(budget={"epochs": 77}), Clock(None, NOW, 0)).options["identity"] == first
    assert run.trained.read_bytes() == before


def test_a_column_that_nothing_fills_is_refused_unless_a_hook_may_fill_it(
    prepare_run: Callable[..., Prepared], fit: Callable[..., FakeTrainer]
) -> None:
    prepared = prepare_run(training={"monitor": "my_score"})
    with pytest.raises(PlanError, match=r"monitor 'my_score' is no column .* val_dice_left, .*val_loss"):
        fit(prepared, Clock(None, NOW, 0))
    assert not prepared.run.trained.exists()
    assert fit(prepared, Clock(None, NOW, 0), (Hook(),)).control.monitor == "my_score"


def test_a_wish_to_stop_an_earlier_sitting_is_forgotten(stations: dict[str, Any], root: Path) -> None:
    run = stations["prepared"].run
    ask_to_stop(run.stop, now=True)
    train(root)
    assert not run.stop.exists()
