"""Hooks: a user's own code inside the training loop.

A hook is an object with any of the methods of ``Hook``; subclass it and override what you need::

    class StopAtDice(goodfit.Hook):
        def after_validation(self, context):
            if context.row["val_dice"] > 0.9:
                context.stop("Dice is above 0.9")

    goodfit.train(dataset, hooks=[StopAtDice()])      # or: goodfit train DATASET --hook my_module:StopAtDice
"""

from __future__ import annotations

import importlib
import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from goodfit.errors import HookError, SettingsError
from goodfit.training.rows import OWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import nn

    from goodfit.training.metrics_log import Cell
    from goodfit.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

Kind = TypeVar("Kind")
Moment = Literal[
    "before_train", "before_step", "after_backward", "after_step", "after_validation", "after_epoch", "after_train"
]


@dataclass
class Context:
    """What a hook sees and may ask for. One object serves the whole training; the loop keeps it up to date.

    Attributes:
        network: the network being trained, with its own weights (not the averaged ones).
        optimizer: the optimizer, for instance to read gradients after ``after_backward``.
        run: the run folder; write your files there.
        step: number of finished steps.
        epoch: number of finished epochs.
        phase: of the step, warmup, stable or cooldown; done in ``after_train`` of a finished training.
        total_steps: largest number of steps of the run.
        lr: learning rate of the step.
        cases: names of the cases in the step's batch.
        loss: loss of the step; None before the first.
        row: the newest row of metrics.csv; in ``after_validation`` the row that is being made.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    run: RunFolder
    total_steps: int
    step: int = 0
    epoch: int = 0
    phase: str = "warmup"
    lr: float = 0.0
    cases: Sequence[str] = ()
    loss: float | None = None
    row: Mapping[str, Cell] = field(default_factory=dict)
    stop_reason: str | None = field(default=None, init=False)
    validation_wanted: bool = field(default=False, init=False)
    recorded: dict[str, Cell] = field(default_factory=dict, init=False)

    def stop(self, reason: str) -> None:
        """Ask for the end of the training: the cooldown begins after this step, and ``reason`` is logged."""
        self.stop_reason = reason

    def validate(self) -> None:
        """Ask for a validation after this step, beside the regular ones."""
        self.validation_wanted = True

    def record(self, column: str, value: Cell) -> None:
        """Put a value into the next row of metrics.csv, under a column of its own.

        Args:
            column: name of the column; a value recorded twice before the row is written is replaced.
            value: a number or a short text.

        Raises:
            ValueError: the column is one that the loop fills itself.
        """
        if column in OWN:
            raise ValueError(f"the column {column!r} of metrics.csv is filled by goodfit; choose another name")
        self.recorded[column] = value


class Hook:
    """Base of hooks; every method may be overridden and does nothing here.

    Whatever a hook must remember over an interruption belongs into ``state_dict``.
    """

    def before_train(self, context: Context) -> None:
        """Called once, before the first step of a call, also of one that goes on with a run."""

    def before_step(self, context: Context) -> None:
        """Called before each step, with its batch's cases and learning rate known."""

    def after_backward(self, context: Context) -> None:
        """Called when the gradients are there, before they are clipped and applied."""

    def after_step(self, context: Context) -> None:
        """Called after each optimizer update."""

    def after_validation(self, context: Context) -> None:
        """Called after each validation; ``context.row`` has its values and the training losses since the row before."""

    def after_epoch(self, context: Context) -> None:
        """Called after each epoch, when its row is written."""

    def after_train(self, context: Context) -> None:
        """Called once, when the training is done or leaves early to be continued."""

    def state_dict(self) -> dict[str, Any]:
        """Give what a continued run needs, as JSON values; saved with every checkpoint."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""


class Hooks:
    """All hooks of a run, called in order; an exception names the hook it came from.

    Args:
        hooks: several of one class keep their own state, told apart by their position.
    """

    def __init__(self, hooks: Sequence[Hook]) -> None:
        self._hooks = {f"{position}:{name_of(hook)}": hook for position, hook in enumerate(hooks)}

    def call(self, moment: Moment, context: Context) -> None:
        """Call one method of every hook.

        Raises:
            HookError: a hook raised; names it, the moment and the exception, which stays its cause.
        """
        for name, hook in self._hooks.items():
            try:
                getattr(hook, moment)(context)
            except Exception as error:
                raise HookError(_said(name, moment, context.step, error)) from error

    def state_dict(self) -> dict[str, Any]:
        """Give every hook's state."""
        return {name: hook.state_dict() for name, hook in self._hooks.items()}

    def load_state_dict(self, states: Mapping[str, Any]) -> None:
        """Give every hook its own state back; says which states nobody takes."""
        for name, state in states.items():
            if name in self._hooks:
                self._hooks[name].load_state_dict(state)
            elif state:
                logger.warning("hook %s was there when the run was saved and is not now: its state is dropped", name)


def name_of(hook: Hook | type) -> str:
    """Give "module:Class" of a hook or a class."""
    kind = hook if isinstance(hook, type) else type(hook)
    return f"{kind.__module__}:{kind.__qualname__}"


def _said(name: str, moment: str, step: int, error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" ({trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno})"
    return (
        f"hook {name.partition(':')[2]}: {moment} at step {step} raised {type(error).__name__}: {error}{where}. "
        "The run is kept: mend the hook and go on with `goodfit resume`."
    )


def import_class(text: str, base: type[Kind], what: str) -> type[Kind]:
    """Import a user's class named "module:Class"; the current folder is searched, too.

    Args:
        text: as given on the command line.
        base: the class it must derive from.
        what: the option, for messages.

    Raises:
        SettingsError: the text is of another form, the module or class is not there, or it is of another kind.
    """
    module, colon, name = text.partition(":")
    if not colon or not name.isidentifier():
        raise SettingsError(f"{what} {text}: write module:Class, like my_module:MyHook for a class in my_module.py.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise SettingsError(
            f"{what} {text}: the module cannot be imported ({error}). Call goodfit in the folder of {module}.py, or "
            "install it."
        ) from error
    except AttributeError as error:
        raise SettingsError(f"{what} {text}: {module} has no class {name}.") from error
    if not isinstance(found, type) or not issubclass(found, base):
        raise SettingsError(f"{what} {text}: {name} is no subclass of goodfit.{base.__name__}.")
    return found
