"""The training loop, on a task of milliseconds."""

from __future__ import annotations

import importlib.util
import math
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from goodfit.errors import HookError, ResourceError, RunError
from goodfit.planning.plan import Training
from goodfit.training.checkpoint import load_checkpoint
from goodfit.training.controller import ControllerSettings
from goodfit.training.hooks import Context, Hook
from goodfit.training.loop import Trainer
from goodfit.training.metrics_log import read_rows
from goodfit.training.requests import POLL_SECONDS, ask_to_stop
from goodfit.training.rows import MACHINE, TIMES
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable

_spec = importlib.util.spec_from_file_location("toy", Path(__file__).with_name("toy.py"))
assert _spec is not None
assert _spec.loader is not None
toy = importlib.util.module_from_spec(_spec)
__import__("sys").modules["toy"] = toy
_spec.loader.exec_module(toy)

TRAINING = Training(learning_rate=0.02, precision="float32", patience=None, validation_share=1.0)
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
TIMED = {*MACHINE, *TIMES}


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
    same_training(whole, killed)


MOMENTS = (
    "before_train",
    "before_step",
    "after_backward",
    "after_step",
    "after_validation",
    "after_epoch",
    "after_train",
)


class Counting(Hook):
    """Counts every call, remembers the counts, and is killed at its turn; asks for a validation and for the end."""

    def __init__(self, kill_at: tuple[str, int] | None = None) -> None:
        self.counts: dict[str, int] = dict.fromkeys(MOMENTS, 0)
        self.calls = 0
        self.kill_at = kill_at

    def _called(self, moment: str, context: Context) -> None:
        if self.kill_at == (moment, context.step):
            raise Killed
        if moment not in ("before_train", "after_train"):  # these two belong to a sitting, not to the training
            self.counts[moment] += 1
            context.record("counted", sum(self.counts.values()))
        if moment == "after_step" and context.step == 13:
            context.validate()
        if moment == "after_step" and context.step == 21:
            context.stop("enough")

    def state_dict(self) -> dict[str, Any]:
        return {"counts": self.counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.counts = dict(state["counts"])


for _moment in MOMENTS:
    setattr(Counting, _moment, lambda self, context, name=_moment: self._called(name, context))


class Drawing(toy.ToyTask):  # type: ignore[misc,name-defined]
    """Its loss draws from the global random state, as dropout does."""

    def loss(self, network: torch.nn.Module, batch: Any, step: int) -> Any:
        losses = super().loss(network, batch, step)
        return replace(losses, total=losses.total * (1 + 0.1 * torch.rand(())))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(kills=[("after_validation", 21)], period=None, often=False, cooldown=0.0)  # the end amid an epoch
@given(
    kills=st.lists(st.tuples(st.sampled_from(MOMENTS), st.integers(0, 25)), min_size=1, max_size=4),
    period=st.sampled_from([None, 2, 5, 7]),
    often=st.booleans(),
    cooldown=st.sampled_from([0.0, 0.25]),
)
def test_wherever_a_run_with_hooks_is_killed_nothing_is_lost_or_done_twice(
    tmp_path_factory: pytest.TempPathFactory,
    kills: list[tuple[str, int]],
    period: int | None,
    often: bool,
    cooldown: float,
) -> None:
    whole, killed = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("killed")
    control = replace(CONTROL, validate_every=period, cooldown=cooldown)
    # A checkpoint after every step is also one between a step and its validation.
    training = TRAINING.model_copy(update={"checkpoint_seconds": 1e-9 if often else 600.0})

    def sit(folder: Path, kill_at: tuple[str, int] | None) -> Counting:
        hook = Counting(kill_at)
        Trainer(Drawing(), training, control, RunFolder(folder), hooks=[hook]).train()
        return hook

    expected = sit(whole, None)
    for kill_at in kills:
        try:
            sit(killed, kill_at)
        except Killed:
            continue
    last = sit(killed, None)
    assert last.counts == expected.counts
    same_training(whole, killed)
    rows = read_rows(killed / "metrics.csv")
    assert len({row["step"] for row in rows}) == len(rows)
    assert [event["step"] for event in RunFolder(killed).read_events() if event["phase"] == "done"] == [
        int(rows[-1]["step"])
    ]
    assert rows[-1]["val_dice"], "the end of a run is validated"


def same_training(one: Path, other: Path) -> None:
    """Weights, optimizer, curves and transitions of two runs are equal, bit for bit."""
    checkpoints = [load_checkpoint(RunFolder(folder).last) for folder in (one, other)]
    for group in ("network", "average", "optimizer"):
        for name, tensor in checkpoints[0].groups[group].items():
            assert torch.equal(tensor, checkpoints[1].groups[group][name]), (group, name)
    assert rows_without_times(one) == rows_without_times(other)
    assert (one / "events.json").read_text() == (other / "events.json").read_text()


def send(number: signal.Signals, at: int) -> Callable[[int], None]:
    def interrupt(step: int) -> None:
        if step == at:
            os.kill(os.getpid(), number)

    return interrupt


def test_a_signal_begins_the_cooldown_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    _, finished = train(tmp_path, send(signal.SIGTERM, 7))
    events = RunFolder(tmp_path).read_events()
    assert finished
    assert [(event["step"], event["phase"]) for event in events[1:]] == [(8, "cooldown"), (10, "done")]
    assert "SIGTERM received" in events[1]["reason"]
    assert [int(row["step"]) for row in read_rows(tmp_path / "metrics.csv")] == [5, 10]


def test_two_signals_save_and_leave_and_the_next_call_goes_on(tmp_path: Path) -> None:
    def twice(step: int) -> None:
        if step == 7:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)

    _, finished = train(tmp_path, twice)
    assert not finished
    assert load_checkpoint(RunFolder(tmp_path).last).state["progress"]["control"]["step"] == 8
    train(tmp_path / "whole")
    _, finished = train(tmp_path)
    assert finished
    same_training(tmp_path / "whole", tmp_path)


def test_with_grace_a_sigterm_saves_and_leaves_without_a_cooldown(tmp_path: Path) -> None:
    _, finished = train(tmp_path / "stopped", send(signal.SIGTERM, 7), grace=60.0)
    assert not finished
    _, finished = train(tmp_path / "stopped")
    train(tmp_path / "whole")
    same_training(tmp_path / "whole", tmp_path / "stopped")


def test_leaving_in_the_middle_of_a_validation_does_the_validation_again(tmp_path: Path) -> None:
    seen = []

    def interrupt() -> None:
        seen.append(1)
        if len(seen) == 5:  # the validation after the third epoch; each asks for two losses
            os.kill(os.getpid(), signal.SIGTERM)

    task = toy.ToyTask(before_validation=interrupt)
    run = RunFolder(tmp_path / "stopped")
    assert not Trainer(task, TRAINING, CONTROL, run, grace=1.0).train()
    state = load_checkpoint(run.last).state["progress"]
    assert (state["control"]["step"], state["control"]["epoch"], state["validated_step"]) == (15, 2, 10)
    train(tmp_path / "stopped")
    train(tmp_path / "whole")
    same_training(tmp_path / "whole", tmp_path / "stopped")


def test_a_stop_file_begins_the_cooldown_and_is_gone_afterwards(tmp_path: Path) -> None:
    def ask(step: int) -> None:
        if step == 12:
            ask_to_stop(tmp_path / "stop.json", now=False)
            time.sleep(1.01 * POLL_SECONDS)

    train(tmp_path, ask)
    assert "goodfit stop" in RunFolder(tmp_path).read_events()[1]["reason"]
    assert not (tmp_path / "stop.json").exists()


def test_validation_leaves_training_untouched(tmp_path: Path) -> None:
    class Careless(toy.ToyTask):  # type: ignore[misc,name-defined]
        """Draws from the global random state and would change the weights if it could."""

        def fixed_loss(self, network: torch.nn.Module, subset: str) -> Any:
            torch.rand(3)
            return super().fixed_loss(network, subset)

        def loss(self, network: torch.nn.Module, batch: Any, step: int) -> Any:
            losses = super().loss(network, batch, step)
            return replace(losses, total=losses.total * (1 + 0.01 * torch.rand(())))

    for name, period in (("often", 1), ("never", 1000)):
        torch.manual_seed(3)
        task = Careless()
        torch.manual_seed(3)
        control = replace(CONTROL, validate_every=period)
        Trainer(task, TRAINING, control, RunFolder(tmp_path / name)).train()
    one, other = (load_checkpoint(RunFolder(tmp_path / name).last) for name in ("often", "never"))
    for group in ("network", "average", "optimizer"):
        for name, tensor in one.groups[group].items():
            assert torch.equal(tensor, other.groups[group][name])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(period=st.integers(1, 40), epochs=st.integers(2, 5), length=st.integers(2, 7))
def test_validations_are_exactly_as_many_as_the_period_asks(
    tmp_path_factory: pytest.TempPathFactory, period: int, epochs: int, length: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    train(folder, control=replace(CONTROL, epochs=epochs, steps_per_epoch=length, validate_every=period))
    rows = read_rows(folder / "metrics.csv")
    total = epochs * length
    assert [int(row["step"]) for row in rows if row["val_loss"]] == sorted({*range(period, total + 1, period), total})
    ends = set(range(length, total + 1, length))
    assert {int(row["step"]) for row in rows} >= ends, "every epoch has a row"
    assert len({row["step"] for row in rows}) == len(rows), "no step has two"
    assert all(row["train_eval_loss"] for row in rows if row["val_loss"])


class Exploding(toy.ToyTask):  # type: ignore[misc,name-defined]
    """The loss is infinite at step 13 while the learning rate is above a limit."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit
        self.rate: Callable[[], float] = lambda: math.inf

    def loss(self, network: torch.nn.Module, batch: Any, step: int) -> Any:
        losses = super().loss(network, batch, step)
        broken = step == 13 and self.rate() > self.limit
        return replace(losses, total=losses.total * (math.inf if broken else 1.0))


def explode(folder: Path, limit: float) -> bool:
    task = Exploding(limit)
    trainer = Trainer(task, TRAINING, CONTROL, RunFolder(folder))
    task.rate = lambda: trainer.learning_rate(13)
    return trainer.train()


def test_a_loss_that_is_not_finite_goes_back_and_halves_the_learning_rate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert explode(tmp_path, 0.006)  # 0.02 and 0.01 are too high
    said = [event["reason"] for event in RunFolder(tmp_path).read_events() if "inf" in event["reason"]]
    assert said == [
        f"step 13: the loss is inf (cases case13): back to step 10, learning rate halved ({n} of 3 times)"
        for n in (1, 2)
    ]
    assert "case13" in caplog.text
    rows = read_rows(tmp_path / "metrics.csv")
    assert [int(row["step"]) for row in rows] == [5, 10, 15, 20, 25, 30]
    assert float(rows[2]["lr"]) == pytest.approx(0.005)


def test_after_three_times_it_gives_up_with_the_state_kept(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"step 13: the loss is inf \(cases case13\), and so it was 3 times before"):
        explode(tmp_path, 0.0)
    state = load_checkpoint(RunFolder(tmp_path).last)
    assert state.state["progress"]["control"]["step"] == 10
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state.groups["network"].values())


def test_a_gradient_that_is_not_finite_is_noticed_too(tmp_path: Path) -> None:
    class Steep(toy.ToyTask):  # type: ignore[misc,name-defined]
        def loss(self, network: torch.nn.Module, batch: Any, step: int) -> Any:
            losses = super().loss(network, batch, step)
            slope = torch.sqrt((losses.total - losses.total.detach()).abs()) if step == 8 else 0.0
            return replace(losses, total=losses.total + slope)

    with pytest.raises(RunError, match=r"step 8: the gradient's norm is nan"):
        Trainer(Steep(), TRAINING, CONTROL, RunFolder(tmp_path)).train()


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(tmp_path / "whole")

    def kill(step: int) -> None:
        if step == 17:
            raise Killed

    with pytest.raises(Killed):
        train(tmp_path / "broken", kill)
    last = RunFolder(tmp_path / "broken").last
    content = bytearray(last.read_bytes())
    content[-20] ^= 1
    last.write_bytes(bytes(content))
    train(tmp_path / "broken")
    assert "damaged" in caplog.text
    assert "previous.safetensors" in caplog.text
    same_training(tmp_path / "whole", tmp_path / "broken")


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    train(tmp_path, identity="one")
    with pytest.raises(RunError, match="belongs to another training"):
        train(tmp_path, identity="other")


def test_hooks_stop_validate_record_and_keep_their_state(tmp_path: Path) -> None:
    class Counter(Hook):
        def __init__(self, name: str) -> None:
            self.name, self.steps, self.moments = name, 0, []

        def after_step(self, context: Context) -> None:
            self.steps += 1
            context.record(self.name, self.steps)
            if context.step == 7:
                context.validate()
            if context.step == 12:
                context.stop("enough")

        def after_validation(self, context: Context) -> None:
            self.moments.append((context.step, context.row["train_loss"], context.row["val_loss"]))

        def state_dict(self) -> dict[str, Any]:
            return {"steps": self.steps}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.steps = state["steps"]

    def kill(step: int) -> None:
        if step == 9:
            raise Killed

    with pytest.raises(Killed):
        train(tmp_path, kill, hooks=[Counter("one"), Counter("two")])
    hooks = [Counter("one"), Counter("two")]
    train(tmp_path, hooks=hooks)
    rows = read_rows(tmp_path / "metrics.csv")
    assert [row["step"] for row in rows] == ["5", "7", "10", "15"]
    assert [row["one"] for row in rows] == ["5", "7", "10", "15"] == [row["two"] for row in rows]
    written = {int(row["step"]): (float(row["train_loss"]), float(row["val_loss"])) for row in rows}
    seen = {step: pytest.approx(losses, rel=1e-6) for step, *losses in hooks[0].moments}
    assert seen
    assert {step: list(written[step]) for step in seen} == seen, "a hook sees what the row will say"
    assert [moment[0] for moment in hooks[0].moments] == [7, 10, 15]
    assert "a hook asked to stop (enough)" in RunFolder(tmp_path).read_events()[1]["reason"]


def test_a_hook_that_raises_is_named_and_the_run_can_go_on(tmp_path: Path) -> None:
    class Broken(Hook):
        def after_backward(self, context: Context) -> None:
            if context.step == 8:
                raise KeyError("gone")

    with pytest.raises(HookError, match=r"Broken: after_backward at step 8 raised KeyError: 'gone' \(.*test_loop.py"):
        train(tmp_path / "broken", hooks=[Broken()])
    train(tmp_path / "broken")
    train(tmp_path / "whole")
    same_training(tmp_path / "whole", tmp_path / "broken")


def test_out_of_memory_halves_the_micro_batch_once_and_keeps_the_gradients(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Large(toy.ToyTask):  # type: ignore[misc,name-defined]
        def loss(self, network: torch.nn.Module, batch: Any, step: int) -> Any:
            if len(batch) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
            return super().loss(network, batch, step)

    Trainer(Large(), TRAINING, CONTROL, RunFolder(tmp_path / "large")).train()
    assert caplog.text.count("the memory is too small") == 2, "from 8 to 4 to 2, and never again"
    train(tmp_path / "whole")
    one, other = (load_checkpoint(RunFolder(tmp_path / name).last) for name in ("large", "whole"))
    for name, tensor in one.groups["network"].items():
        torch.testing.assert_close(tensor, other.groups["network"][name], rtol=1e-3, atol=1e-4)


def test_an_ordinary_runtime_error_is_not_taken_for_a_full_memory(tmp_path: Path) -> None:
    class Wrong(toy.ToyTask):  # type: ignore[misc,name-defined]
        def loss(self, network: torch.nn.Module, batch: Any, step: int) -> Any:
            return network(batch.inputs[:, :2])

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        Trainer(Wrong(), TRAINING, CONTROL, RunFolder(tmp_path)).train()


def test_not_even_one_sample_fits(tmp_path: Path) -> None:
    class Huge(toy.ToyTask):  # type: ignore[misc,name-defined]
        def loss(self, network: torch.nn.Module, batch: Any, step: int) -> Any:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: 1")

    with pytest.raises(ResourceError, match="not even one sample fits"):
        Trainer(Huge(), TRAINING, CONTROL, RunFolder(tmp_path)).train()


def test_validation_that_takes_too_long_uses_a_fixed_subset_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(toy.ToyTask):  # type: ignore[misc,name-defined]
        def validate(self, network: torch.nn.Module, cases: int, still_wanted: Callable[[], None]) -> Any:
            return replace(super().validate(network, cases, still_wanted), seconds=1000.0 * cases)

    task = Slow()
    training = TRAINING.model_copy(update={"validation_share": 0.1})
    Trainer(task, training, CONTROL, RunFolder(tmp_path)).train()
    assert set(task.validated) == {1}
    assert "fixed subset of 1 of 5 cases, at every 5th validation" in caplog.text


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


@pytest.mark.parametrize(("period", "at"), [(1000, 7), (1000, 10), (1, 7), (1, 10), (2, 7)])
def test_an_end_without_a_cooldown_comes_at_once_and_is_validated(tmp_path: Path, period: int, at: int) -> None:
    control = replace(CONTROL, cooldown=0.0, validate_every=period)
    _, finished = train(tmp_path, send(signal.SIGTERM, at - 1), control=control)
    run = RunFolder(tmp_path)
    rows = read_rows(run.metrics)
    assert finished
    assert int(rows[-1]["step"]) == at
    assert rows[-1]["val_dice"]
    assert len({row["step"] for row in rows}) == len(rows)
    assert run.best.is_file()
    assert run.read_events()[-1]["reason"].endswith("the end, without a cooldown")
    assert load_checkpoint(run.last).state["progress"]["control"]["phase"] == "done"


@pytest.mark.parametrize("at", [7, 10])
def test_the_end_measures_the_metric_though_it_was_not_its_turn(tmp_path: Path, at: int) -> None:
    class Slow(toy.ToyTask):  # type: ignore[misc,name-defined]
        def validate(self, network: torch.nn.Module, cases: int, still_wanted: Callable[[], None]) -> Any:
            return replace(super().validate(network, cases, still_wanted), seconds=1000.0 * cases)

    training = TRAINING.model_copy(update={"validation_share": 0.1})
    control = replace(CONTROL, cooldown=0.0, validate_every=1)
    task = Slow(send(signal.SIGTERM, at - 1))
    assert Trainer(task, training, control, RunFolder(tmp_path)).train()
    rows = read_rows(tmp_path / "metrics.csv")
    assert [int(row["step"]) for row in rows] == list(range(1, at + 1))
    assert [int(row["step"]) for row in rows if row["val_dice"]] == [1, *range(6, at, 5), at]


class Growing(toy.ToyTask):  # type: ignore[misc,name-defined]
    """Batches have half their size until a step."""

    small_until = 10

    def step_size(self, step: int) -> float:
        return 0.5 if step < self.small_until else 1.0


def test_validation_and_timing_begin_with_whole_steps(tmp_path: Path) -> None:
    trainer = Trainer(Growing(), TRAINING, CONTROL, RunFolder(tmp_path))
    assert trainer.train()
    rows = read_rows(tmp_path / "metrics.csv")
    assert [int(row["step"]) for row in rows] == [5, 10, 15, 20, 25, 30]
    assert [bool(row["val_dice"]) for row in rows] == [bool(row["val_loss"]) for row in rows]
    assert [bool(row["val_loss"]) for row in rows] == [False, False, True, True, True, True]
    assert trainer.progress.timed_epochs == 4


def test_a_run_that_ends_before_is_validated_at_its_end(tmp_path: Path) -> None:
    task = Growing()
    task.small_until = 100
    assert Trainer(task, TRAINING, CONTROL, RunFolder(tmp_path)).train()
    rows = read_rows(tmp_path / "metrics.csv")
    assert [bool(row["val_dice"]) for row in rows] == [False] * (len(rows) - 1) + [True]


@pytest.mark.parametrize(("left", "cooled_at"), [(1e-9, 15), (-1.0, 5)])
def test_the_clock_goes_by_whole_steps_unless_the_time_is_up(tmp_path: Path, left: float, cooled_at: int) -> None:
    trainer = Trainer(Growing(), TRAINING, CONTROL, RunFolder(tmp_path), deadline=lambda _seconds: left)
    assert trainer.train()
    events = RunFolder(tmp_path).read_events()
    assert [event["step"] for event in events if event["phase"] == "cooldown"] == [cooled_at]


def test_advice_is_given_once_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Waiting(toy.ToyTask):  # type: ignore[misc,name-defined]
        def batches(self, first_step: int, last_step: int) -> Any:
            for batch in super().batches(first_step, last_step):
                time.sleep(0.02)
                yield batch

    Trainer(Waiting(), TRAINING, CONTROL, RunFolder(tmp_path)).train()
    assert caplog.text.count("Training waits for data") == 1


def test_a_column_of_a_hook_can_be_watched(tmp_path: Path) -> None:
    class Own(Hook):
        def after_validation(self, context: Context) -> None:
            context.record("mine", -abs(context.step - 15))

    control = replace(CONTROL, monitor="mine", smoothing=0.0, patience=2, epochs=50)
    train(tmp_path, control=control, hooks=[Own()])
    events = RunFolder(tmp_path).read_events()
    assert [event["step"] for event in events if event["phase"] == "cooldown"] == [25]
    assert "mine -10.0000 has not risen by 0.001 for 2 epochs (best 0.0000 at 3)" in events[-2]["reason"]
    assert load_checkpoint(RunFolder(tmp_path).best).state["step"] == 15


def test_poly_schedule_and_sgd(tmp_path: Path) -> None:
    training = Training(
        learning_rate=0.01, precision="float32", patience=None, schedule="poly", optimizer="sgd", weight_decay=3e-5
    )
    train(tmp_path, training=training, control=replace(CONTROL, cooldown=0.0))
    rows = read_rows(tmp_path / "metrics.csv")
    assert [int(row["step"]) for row in rows] == [5, 10, 15, 20, 25, 30]
    assert float(rows[-1]["lr"]) == pytest.approx(0.01 * (1 / 30) ** 0.9)
