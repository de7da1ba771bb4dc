"""A training as loggers see it, without a network that trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from goodfit.training.hooks import Context, Hook
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def context(tmp_path: Path) -> Context:
    network = nn.Linear(2, 1)
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.plan.write_text("{}")
    run.metrics.write_text("epoch,step\n")
    return Context(network, torch.optim.SGD(network.parameters()), run, total_steps=100)


@pytest.fixture
def epochs(context: Context) -> Callable[..., dict[str, Any]]:
    """Play epochs of ten steps to a hook; gives the state that a checkpoint after ``saved_after`` would hold."""

    def play(hook: Hook, first: int, last: int, saved_after: int | None = None, *, done: bool = True) -> dict[str, Any]:
        state: dict[str, Any] = {}
        context.step = 10 * (first - 1)
        hook.before_train(context)
        for epoch in range(first, last + 1):
            validated = {"val_loss": 1 / epoch, "val_dice_left (big)": float("nan") if epoch == 1 else epoch / 10}
            context.step, context.row = 10 * epoch, validated
            hook.after_validation(context)
            rest = {"epoch": epoch, "step": 10 * epoch, "phase": "stable", "train_loss": 2 / epoch, "lr": 0.1}
            context.row, context.epoch = {**rest, **validated, "verdict": "too early"}, epoch
            hook.after_epoch(context)
            if epoch == saved_after:
                state = hook.state_dict()
        if done:
            context.phase = "done"
        hook.after_train(context)
        return state

    return play


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make a package look as if it were not installed."""

    def hide(package: str) -> None:
        monkeypatch.setitem(__import__("sys").modules, package, None)

    return hide
