"""Hooks by themselves; what the loop does with them is in test_loop.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from goodfit.errors import HookError, SettingsError
from goodfit.training.hooks import Context, Hook, Hooks, import_class, name_of
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

MOMENTS = (
    "before_train",
    "before_step",
    "after_backward",
    "after_step",
    "after_validation",
    "after_epoch",
    "after_train",
)


class Memory(Hook):
    """Remembers a number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def state_dict(self) -> dict[str, Any]:
        return {"number": self.number}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.number = state["number"]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    network = nn.Linear(2, 1)
    return Context(network, torch.optim.SGD(network.parameters()), RunFolder(tmp_path), total_steps=10)


@pytest.mark.parametrize("moment", MOMENTS)
def test_every_moment_is_called_in_order_and_does_nothing_by_itself(moment: Any, context: Context) -> None:
    called: list[str] = []

    def make(name: str) -> Hook:
        return type(name, (Hook,), {moment: lambda _self, _context: called.append(name)})()

    Hooks([make("A"), Hook(), make("B")]).call(moment, context)
    assert called == ["A", "B"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_exception_names_hook_moment_and_place(moment: Any, context: Context) -> None:
    def fail(_self: Hook, _context: Context) -> None:
        raise ZeroDivisionError("by nothing")

    hooks = Hooks([Hook(), type("Bad", (Hook,), {moment: fail})()])
    with pytest.raises(
        HookError, match=f"Bad: {moment} at step 0 raised ZeroDivisionError: by nothing .*test_hooks.py"
    ):
        hooks.call(moment, context)


def test_hooks_of_one_class_keep_their_own_state(caplog: pytest.LogCaptureFixture) -> None:
    states = Hooks([Memory(1), Memory(2)]).state_dict()
    back = [Memory(0), Memory(0)]
    Hooks(back).load_state_dict(states)
    assert [hook.number for hook in back] == [1, 2]
    Hooks([Memory(0)]).load_state_dict(states)
    assert "its state is dropped" in caplog.text


def test_the_context_carries_wishes(context: Context) -> None:
    context.stop("why not")
    context.validate()
    context.record("norm", 1.5)
    context.record("norm", 2.5)
    assert (context.stop_reason, context.validation_wanted, context.recorded) == ("why not", True, {"norm": 2.5})


@pytest.mark.parametrize("column", ["step", "epoch", "lr", "verdict", "seconds", "cpu_percent", "train_loss"])
def test_a_column_of_the_loops_own_cannot_be_recorded(context: Context, column: str) -> None:
    with pytest.raises(ValueError, match=f"{column!r} of metrics.csv is filled by goodfit"):
        context.record(column, 1)
    assert context.recorded == {}


def test_a_hook_is_imported_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_for_the_test.py").write_text("import goodfit\n\nclass Mine(goodfit.Hook):\n    pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = import_class("mine_for_the_test:Mine", Hook, "--hook")
    assert name_of(found) == name_of(found()) == "mine_for_the_test:Mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("my_module", "write module:Class"),
        ("my_module:1x", "write module:Class"),
        ("no_such_module_here:X", "the module cannot be imported"),
        ("math:Missing", "math has no class Missing"),
        ("math:pi", "pi is no subclass of goodfit.Hook"),
    ],
)
def test_what_cannot_be_imported_is_told(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        import_class(text, Hook, "--hook")
