"""What the loop is given by a command: clock, controller, deadline, hooks, identity."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from goodfit.commands import fitting as module
from goodfit.commands.extensions import Extensions
from goodfit.commands.fitting import (
    LONGEST_WARMUP,
    REPORT_SECONDS,
    SLOWER_THAN_VALIDATION,
    Clock,
    controller_settings,
    fit_task,
    loader_workers,
)
from goodfit.errors import PlanError
from goodfit.training.hooks import Hook
from goodfit.training.loggers.tensorboard import TensorBoardLogger
from goodfit.training.loop import Progress, Report
from goodfit.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

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
    assert loader_workers(torch.device("cpu"), None) == 0
    assert loader_workers(torch.device("cpu"), 3) == 3


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 1), (6, 5), (64, 8), (None, 1)])
def test_a_gpu_gets_loaders(monkeypatch: pytest.MonkeyPatch, cores: int | None, workers: int) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert loader_workers(torch.device("cuda"), None) == workers


class FakeTask:
    """As much of a task as is looked at before the loop."""

    metric_columns = ("val_dice", "val_dice_left", "val_dice_right")
    loss_parts = ()

    def __init__(self) -> None:
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

    def call(
        prepared: Prepared,
        clock: Clock,
        hooks: tuple[Hook, ...] = (),
        recipe: Recipe | None = None,
        effort: float = 1.0,
    ) -> FakeTrainer:
        prepared.run.update_record(settings={})
        extensions = Extensions(hooks, recipe or Recipe())
        assert fit_task(FakeTask(), prepared, clock, extensions, listener, effort=effort)
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
    built = fit(prepared, clock, recipe=recipe, effort=8)
    assert built.control == controller_settings(prepared)
    assert built.options["workers"] == 3
    deadline, on_report = built.options["deadline"], built.options["on_report"]
    assert (deadline is not None) == has_deadline
    assert prepared.run.trained.is_file(), "what the weights will have seen is noted"
    assert any("polynomial schedule has a fixed end" in note for note in listener.notes) == (
        schedule == "poly" and time is not None
    )
    if has_deadline:
        assert deadline(2.0) == clock.left_for_training(16.0, 1)
    record = prepared.run.read_record()
    assert record["status"] == "training"
    assert record["environment"]["device"] == "cpu"
    assert record["identity"] == built.options["identity"] == module.identity_of(prepared.run)
    assert "spent_seconds" not in record
    on_report(Report(Progress(), 10, 0.5))
    assert "spent_seconds" not in prepared.run.read_record(), "not after every step"
    on_report(Report(Progress(), 10, 0.5, row={"epoch": 1}))
    assert prepared.run.read_record()["spent_seconds"] == 15


@pytest.mark.parametrize(("flags", "imitated"), [({"avx2": True}, True), ({"amx_bf16": True}, False)])
def test_a_training_in_imitated_arithmetic_is_warned_about(
    prepare_run: Callable[..., Prepared],
    fit: Callable[..., FakeTrainer],
    listener: Any,
    monkeypatch: pytest.MonkeyPatch,
    flags: dict[str, bool],
    imitated: bool,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    fit(prepare_run(training={"precision": "bfloat16"}), Clock(None, NOW, spent=0))
    assert any("--set training.precision=float32" in note for note in listener.notes) == imitated


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
