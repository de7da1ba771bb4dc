"""Validation of any task, and how many cases it can afford."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from goodfit.training.ema import WeightAverage
from goodfit.training.requests import LeaveError
from goodfit.training.validation import Effort, Validation
from goodfit.training.weights import weights_of

if TYPE_CHECKING:
    from collections.abc import Callable

_spec = importlib.util.spec_from_file_location("toy", Path(__file__).with_name("toy.py"))
assert _spec is not None
assert _spec.loader is not None
toy = importlib.util.module_from_spec(_spec)
__import__("sys").modules["toy"] = toy
_spec.loader.exec_module(toy)


class Timed(toy.ToyTask):  # type: ignore[misc,name-defined]
    """A whole case takes as long as told."""

    seconds = 1.0

    def validate(self, network: nn.Module, cases: int, still_wanted: Callable[[], None]) -> Any:
        return replace(super().validate(network, cases, still_wanted), seconds=self.seconds * cases)


def nobody_asked() -> None:
    pass


def other_weights(network: nn.Module) -> WeightAverage:
    """An average that differs from the network's own weights."""
    average = WeightAverage(network, 0.05)
    for tensor in average.weights.values():
        tensor.mul_(1.5)
    return average


def test_the_averaged_weights_are_judged_in_evaluation_mode_without_gradients() -> None:
    seen: dict[str, torch.Tensor] = {}

    class Looking(toy.ToyTask):  # type: ignore[misc,name-defined]
        def fixed_loss(self, network: nn.Module, subset: str) -> Any:
            assert not network.training
            assert torch.is_inference_mode_enabled()
            seen.update({name: tensor.clone() for name, tensor in weights_of(network).items()})
            return super().fixed_loss(network, subset)

    task = Looking()
    average = other_weights(task.network)
    Validation(task, average, 0.1).measure(Effort(2, 1), 1e9, nobody_asked)
    assert seen.keys() == average.weights.keys()
    assert all(torch.equal(seen[name], tensor) for name, tensor in average.weights.items())


def test_nothing_of_the_training_changes() -> None:
    class Careless(toy.ToyTask):  # type: ignore[misc,name-defined]
        def validate(self, network: nn.Module, cases: int, still_wanted: Callable[[], None]) -> Any:
            torch.rand(7)
            return super().validate(network, cases, still_wanted)

    task = Careless()
    before = {name: tensor.clone() for name, tensor in weights_of(task.network).items()}
    average = other_weights(task.network)
    averaged = {name: tensor.clone() for name, tensor in average.weights.items()}
    state = torch.get_rng_state()
    Validation(task, average, 0.1).measure(None, 1e9, nobody_asked)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights_of(task.network).items())
    assert all(torch.equal(tensor, averaged[name]) for name, tensor in average.weights.items())


def test_the_same_weights_give_the_same_columns_in_their_order() -> None:
    task = toy.ToyTask()
    validation = Validation(task, WeightAverage(task.network, 0.05), 0.1)
    one, other = (validation.measure(Effort(3, 1), 1e9, nobody_asked) for _ in range(2))
    assert dict(one.columns) == dict(other.columns)
    assert list(one.columns) == ["train_eval_loss", "val_loss", "val_loss_half", "val_dice", "val_dice_a"]
    assert one.columns["val_loss_half"] == one.columns["val_loss"] / 2
    assert one.columns["train_eval_loss"] != one.columns["val_loss"]
    assert one.effort.cases == 3
    assert one.seconds_per_case is not None
    assert one.seconds >= one.seconds_per_case * 3 > 0


@pytest.mark.parametrize(
    ("training_seconds", "cases", "every"),
    [(1000.0, 5, 1), (60.0, 5, 1), (35.0, 5, 2), (15.0, 5, 4), (12.0, 5, 5), (5.9, 2, 5), (1.0, 1, 5)],
)
def test_as_many_cases_as_keep_within_the_share_rather_rarely_than_few(
    training_seconds: float, cases: int, every: int, caplog: pytest.LogCaptureFixture
) -> None:
    task = Timed()
    measured = Validation(task, WeightAverage(task.network, 0.05), 0.1).measure(None, training_seconds, nobody_asked)
    assert measured.effort == Effort(cases, every)
    assert measured.seconds_per_case == 1.0
    assert task.validated == [1, 1, cases], "the first case warms up, the second is timed"
    assert (f"subset of {cases} of 5 cases" in caplog.text) == (cases < 5 or every > 1)
    assert (f"at every {every}th validation: more would take over 10 %" in caplog.text) == (every > 1)


def test_without_a_limit_no_clock_has_a_say(caplog: pytest.LogCaptureFixture) -> None:
    task = Timed()
    measured = Validation(task, WeightAverage(task.network, 0.05), 1.0).measure(None, 1e-9, nobody_asked)
    assert measured.effort == Effort(5, 1)
    assert task.validated == [5]
    assert caplog.text == ""


def test_without_its_turn_the_metric_is_left_out() -> None:
    task = Timed()
    validation = Validation(task, WeightAverage(task.network, 0.05), 0.1)
    measured = validation.measure(Effort(5, 2), 35.0, nobody_asked, metric=False)
    assert list(measured.columns) == ["train_eval_loss", "val_loss", "val_loss_half"]
    assert measured.seconds_per_case is None
    assert task.validated == []


def test_the_number_of_cases_once_chosen_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    task = Timed()
    assert Validation(task, WeightAverage(task.network, 0.05), 0.1).measure(
        Effort(4, 1), 1.0, nobody_asked
    ).effort == Effort(4, 1)
    assert task.validated == [4]
    assert caplog.text == ""


@pytest.mark.parametrize(("training_seconds", "said"), [(1.0, True), (1000.0, False)])
def test_a_period_that_is_too_short_is_told(
    training_seconds: float, said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    task = Timed()
    with caplog.at_level(logging.WARNING):
        Validation(task, WeightAverage(task.network, 0.05), 0.1).measure(None, training_seconds, nobody_asked)
    assert ("choose a longer --validate-every" in caplog.text) == said


@pytest.mark.parametrize("at", range(1, 6))
def test_it_gives_way_wherever_the_run_has_to_leave(at: int) -> None:
    asked = 0

    def leave() -> None:
        nonlocal asked
        asked += 1
        if asked == at:
            raise LeaveError

    task = toy.ToyTask()
    before = {name: tensor.clone() for name, tensor in weights_of(task.network).items()}
    with pytest.raises(LeaveError):
        Validation(task, other_weights(task.network), 0.1).measure(None, 1e9, leave)
    assert asked == at
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights_of(task.network).items())


def test_before_the_first_metric_nothing_is_chosen() -> None:
    task = Timed()
    validation = Validation(task, WeightAverage(task.network, 0.05), 0.1)
    measured = validation.measure(None, 35.0, nobody_asked, metric=False)
    assert measured.effort is None
    assert "val_loss" in measured.columns
    assert task.validated == []
