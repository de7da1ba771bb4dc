"""The child that trains a fold: what it reads and what it tells."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from goodfit.commands import fold_worker as module
from goodfit.commands.fold_worker import Teller, main
from goodfit.data.splits import Split
from goodfit.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.planning.plan import Plan

SPLIT = Split(seed=0, source="by hand", train=["a"], validation=["b"], test=["c"])


def events(way: Any, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Run the child in this process with a stand-in for the training."""
    reading, writing = os.pipe()
    told = os.fdopen(os.dup(writing), "w")
    monkeypatch.setattr(module, "os", SimpleNamespace(dup=lambda _: writing, dup2=lambda *_: None, fdopen=os.fdopen))
    monkeypatch.setattr(module, "_leave_with_parent", lambda: None)
    monkeypatch.setattr(module, "train", way)
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(spec) + "\n"))
    main()
    told.close()
    with os.fdopen(reading) as stream:
        return [json.loads(line) for line in stream]


@pytest.fixture
def spec(tmp_path: Path, tiny_plan: Callable[..., Plan]) -> dict[str, Any]:
    plan, split = tiny_plan().model_dump(mode="json"), SPLIT.model_dump(mode="json")
    return {
        "dataset": str(tmp_path),
        "run": "run",
        "settings": {"training.seed": 3},
        "recipe": None,
        "plan": plan,
        "split": split,
    }


def test_what_is_read_reaches_the_training(
    spec: dict[str, Any], tiny_plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def train(dataset: Path, **options: Any) -> Any:
        calls.append((dataset, options))
        options["observer"].note("hello")
        return SimpleNamespace(finished=True)

    assert events(train, spec, monkeypatch) == [{"note": "hello"}, {"outcome": "finished"}]
    ((dataset, options),) = calls
    assert dataset == Path(spec["dataset"])
    assert (options["run"], options["settings"], options["recipe"]) == ("run", {"training.seed": 3}, None)
    assert (options["plan"], options["split"]) == (tiny_plan(), SPLIT)


def test_every_end_has_its_word(spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise DatasetError("too small")

    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    def leave(*_: Any, **__: Any) -> Any:
        return SimpleNamespace(finished=False)

    assert events(fail, spec, monkeypatch) == [{"outcome": "failed", "error": "too small"}]
    assert events(interrupt, spec, monkeypatch) == [{"outcome": "interrupted"}]
    assert events(leave, spec, monkeypatch) == [{"outcome": "interrupted"}]


def test_a_parent_that_is_gone_stops_no_training() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    teller = Teller(stream)
    teller.note("one")
    teller.note("two")
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_a_row_is_a_sentence_and_a_step_two_numbers() -> None:
    stream = io.StringIO()
    control = SimpleNamespace(step=30, epoch=3, phase="stable")
    progress = SimpleNamespace(control=control)
    row = {"epoch": 3, "phase": "stable", "train_loss": 0.25, "val_dice": 0.5}
    teller = Teller(stream)
    teller.trained(SimpleNamespace(progress=progress, expected_steps=20, row=None))
    teller.trained(SimpleNamespace(progress=progress, expected_steps=40, row=row))
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"step": 30, "expected": 30},
        {"note": "epoch 3, stable, loss 0.2500, Dice 0.5000"},
        {"step": 30, "expected": 40},
    ]
