"""A stand-in for a command's function, and every option as it may be typed."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

from goodfit.cli.app import app
from goodfit.settings import SHORTCUTS

if TYPE_CHECKING:
    import pytest

WISHES: dict[str, Any] = {
    "time": "10m",
    "epochs": 7,
    "steps_per_epoch": 11,
    "batch_size": 3,
    "patch_size": "8x16x16",
    "spacing": "3x1x1",
    "configuration": "2d",
    "memory": "8GB",
    "planner": "nnunet",
    "plans": "nnUNetPlans.json",
    "previous_stage": "runs/low",
    "initialise_from": "runs/before",
    "fold": "2",
    "network": "resenc",
    "backbone": "resnet50",
    "weights": "none",
    "image_size": 256,
    "detectron2_config": "old.yaml",
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "schedule": "poly",
    "cooldown": 0.5,
    "cooldown_shape": "1-sqrt",
    "patience": "off",
    "min_delta": 0.002,
    "monitor": "val_loss",
    "validate_every": "2epochs",
    "hook": ["my_hooks:One", "my_hooks:Two"],
    "recipe": "my_recipes:Mine",
    "precision": "float32",
    "seed": 5,
    "group_by": "^(p[0-9]+)_",
    "device": "cpu",
    "workers": 2,
    "force": True,
    "grace": "60s",
    "log": "tensorboard,mlflow",
    "tta": True,
    "step_size": 0.25,
}
PLANNED = [name for name, field in SHORTCUTS.items() if field.startswith(("plan.", "model.", "budget.", "data."))] + [
    "device",
    "force",
]
MACHINE = ["workers", "grace", "log", "tta", "step_size"]
SCORES = SimpleNamespace(
    title="test, 1 case", rows=lambda: [["class", "Dice"], ["liver", "0.900"]], mean_dice=0.9, optimistic=False
)
RUN = SimpleNamespace(path=Path("runs/one"), plan=Path("runs/one/plan.json"))
FINISHED = SimpleNamespace(scores=SCORES, run=RUN, report=Path("runs/one/report.html"), finished=True)
INTERRUPTED = SimpleNamespace(scores=None, run=RUN, report=None, finished=False)


class Command:
    """Stands for a command's function: keeps what it is called with, as its own signature names it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, result: Any, module: str | None = None) -> None:
        home = importlib.import_module(f"goodfit.commands.{module or name}")
        self.signature = inspect.signature(getattr(home, name))
        self.result = result
        self.got: dict[str, Any] = {}
        monkeypatch.setattr(home, name, self)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        bound = self.signature.bind(*arguments, **options).arguments
        self.got = {**bound, **bound.pop("options", {})}
        self.got.pop("options", None)
        return self.result


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def flags(names: list[str]) -> list[str]:
    typed: list[str] = []
    for name in names:
        flag = "--" + name.replace("_", "-")
        for value in WISHES[name] if isinstance(WISHES[name], list) else [WISHES[name]]:
            typed += [flag] if value is True else [flag, str(value)]
    return typed


def asked(command: Command, *, without: set[str] = frozenset()) -> dict[str, Any]:
    return {name: value for name, value in command.got.items() if name != "observer" and name not in without}
