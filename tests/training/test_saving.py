"""What is kept of a run's state, and how it comes back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from goodfit.errors import RunError
from goodfit.training.checkpoint import load_checkpoint
from goodfit.training.checkpoint_writer import CheckpointWriter
from goodfit.training.controller import ControllerSettings, ControllerState
from goodfit.training.ema import WeightAverage
from goodfit.training.hooks import Hook, Hooks
from goodfit.training.progress import Progress
from goodfit.training.run_folder import RunFolder
from goodfit.training.saving import Keeper
from goodfit.training.weights import weights_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Memory(Hook):
    """Remembers a number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def state_dict(self) -> dict[str, Any]:
        return {"number": self.number}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.number = state["number"]


class Sitting:
    """A network in training, with its keeper."""

    def __init__(self, folder: Path, writer: CheckpointWriter, seed: int = 0, identity: str = "one") -> None:
        torch.manual_seed(seed)
        self.network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        self.average = WeightAverage(self.network, 0.05)
        self.optimizer = torch.optim.AdamW(self.network.parameters())
        self.hook = Memory(seed)
        self.keeper = Keeper(
            RunFolder(folder), self.network, self.average, self.optimizer, Hooks([self.hook]), identity, writer
        )

    def step(self, number: int) -> None:
        generator = torch.Generator().manual_seed(number)
        self.network(torch.randn(8, 3, generator=generator)).square().mean().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update(self.network, number)

    def tensors(self) -> dict[str, torch.Tensor]:
        state = self.optimizer.state_dict()["state"]
        return {
            **{f"network/{name}": tensor.clone() for name, tensor in weights_of(self.network).items()},
            **{f"average/{name}": tensor.clone() for name, tensor in self.average.weights.items()},
            **{f"{n}/{key}": value.clone() for n, entry in state.items() for key, value in entry.items()},
        }


@pytest.fixture
def writer() -> Iterator[CheckpointWriter]:
    with CheckpointWriter() as made:
        yield made


def at(step: int, best: float | None = None) -> Progress:
    return Progress(ControllerState(step=step, epoch=step // 5, phase="stable"), best_metric=best)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_everything_comes_back_and_the_next_steps_are_the_same(tmp_path: Path, writer: CheckpointWriter) -> None:
    first = Sitting(tmp_path, writer)
    for number in (1, 2, 3):
        first.step(number)
    first.keeper.save(at(3))
    saved = first.tensors()
    later = Sitting(tmp_path, writer, seed=7)
    assert not equal(later.tensors(), saved)
    progress = later.keeper.load()
    assert progress == at(3)
    assert equal(later.tensors(), saved)
    assert later.hook.number == 0
    for sitting in (first, later):
        sitting.step(4)
    assert equal(later.tensors(), first.tensors())


def test_a_new_run_has_nothing_to_come_back_to(tmp_path: Path, writer: CheckpointWriter) -> None:
    assert Sitting(tmp_path, writer).keeper.load() is None


def test_the_checkpoint_before_is_kept_and_taken_where_the_last_is_damaged(
    tmp_path: Path, writer: CheckpointWriter, caplog: pytest.LogCaptureFixture
) -> None:
    sitting, run = Sitting(tmp_path, writer), RunFolder(tmp_path)
    for number in (1, 2, 3):
        sitting.step(number)
        sitting.keeper.save(at(number))
    writer.wait()
    steps = [load_checkpoint(path).state["progress"]["control"]["step"] for path in (run.last, run.previous)]
    assert steps == [3, 2]
    run.last.write_bytes(run.last.read_bytes()[:-9])
    assert sitting.keeper.load() == at(2)
    assert "damaged" in caplog.text
    run.last.unlink()  # killed between two renames
    assert sitting.keeper.load() == at(2)
    run.previous.write_bytes(b"nothing")
    with pytest.raises(RunError, match="No sound checkpoint is left"):
        sitting.keeper.load()


def test_the_state_of_another_training_is_refused(tmp_path: Path, writer: CheckpointWriter) -> None:
    Sitting(tmp_path, writer).keeper.save(at(3))
    with pytest.raises(RunError, match="belongs to another training"):
        Sitting(tmp_path, writer, identity="other").keeper.load()


def settings(*, larger_is_better: bool = True) -> ControllerSettings:
    return ControllerSettings(
        epochs=10,
        steps_per_epoch=5,
        warmup_steps=0,
        cooldown=0.2,
        patience=None,
        min_delta=0.001,
        monitor="val_dice",
        larger_is_better=larger_is_better,
    )


@pytest.mark.parametrize("larger_is_better", [True, False])
def test_the_best_is_kept_and_the_later_of_two_equal_ones(
    tmp_path: Path, writer: CheckpointWriter, larger_is_better: bool
) -> None:
    sitting, run = Sitting(tmp_path, writer), RunFolder(tmp_path)
    progress, kept = at(0), []
    for number, metric in enumerate((0.5, 0.7, 0.6, 0.7, math.nan, 0.1), start=1):
        sitting.step(number)
        progress.control = ControllerState(step=number)
        value = metric if larger_is_better else -metric
        sitting.keeper.keep_best(settings(larger_is_better=larger_is_better), progress, value, final=False)
        writer.wait()
        kept.append(load_checkpoint(run.best).state["step"])
    assert kept == [1, 2, 2, 4, 4, 4]
    assert progress.best_metric == (0.7 if larger_is_better else -0.7)


@pytest.mark.parametrize("larger_is_better", [True, False])
@pytest.mark.parametrize(("metric", "kept"), [(0.6981, 2), (0.6979, 1), (0.71, 2), (math.nan, 1)])
def test_the_last_weights_are_kept_unless_they_are_clearly_worse(
    tmp_path: Path, writer: CheckpointWriter, larger_is_better: bool, metric: float, kept: int
) -> None:
    sitting, run = Sitting(tmp_path, writer), RunFolder(tmp_path)
    progress, sign = at(0), 1 if larger_is_better else -1
    for number, value in enumerate((0.7, metric), start=1):
        sitting.step(number)
        progress.control = ControllerState(step=number)
        wanted = settings(larger_is_better=larger_is_better)
        sitting.keeper.keep_best(wanted, progress, sign * value, final=number == 2)
        writer.wait()
    assert load_checkpoint(run.best).state["step"] == kept
    assert progress.best_metric == sign * (metric if kept == 2 else 0.7)


def test_the_best_holds_the_averaged_weights_and_says_when_they_were(tmp_path: Path, writer: CheckpointWriter) -> None:
    sitting = Sitting(tmp_path, writer)
    for number in (1, 2):
        sitting.step(number)
    sitting.keeper.keep_best(settings(), at(7), 0.25, final=False)
    writer.wait()
    best = load_checkpoint(RunFolder(tmp_path).best)
    assert best.state == {"epoch": 2, "step": 7, "val_dice": 0.25}
    assert equal(dict(best.groups["network"]), sitting.average.weights)
    assert not equal(dict(best.groups["network"]), dict(weights_of(sitting.network)))


def test_before_the_first_value_the_first_weights_are_the_best_and_a_value_beats_them(
    tmp_path: Path, writer: CheckpointWriter, caplog: pytest.LogCaptureFixture
) -> None:
    sitting, run = Sitting(tmp_path, writer), RunFolder(tmp_path)
    steps = []
    progress = at(0)
    for number, metric in enumerate((math.nan, math.nan, 0.0), start=1):
        progress.control = ControllerState(step=number)
        sitting.keeper.keep_best(settings(), progress, metric, final=False)
        writer.wait()
        steps.append(load_checkpoint(run.best).state["step"])
    assert steps == [1, 1, 3]
    assert caplog.text.count("val_dice is not defined yet") == 1


def test_the_stable_state_is_a_whole_one(tmp_path: Path, writer: CheckpointWriter) -> None:
    sitting, run = Sitting(tmp_path, writer), RunFolder(tmp_path)
    sitting.step(1)
    sitting.keeper.save_stable(at(1))
    writer.wait()
    run.stable.replace(run.last)
    later = Sitting(tmp_path, writer, seed=3)
    assert later.keeper.load() == at(1)
    assert equal(later.tensors(), sitting.tensors())
