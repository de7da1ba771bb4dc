"""The command line as a user meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from goodfit.commands.fitting import TrainResult


def goodfit(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "goodfit", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=300,
        env={**os.environ, "COLUMNS": "200"},
    )


@pytest.mark.parametrize(
    "command",
    [
        "",
        "check",
        "convert",
        "plan",
        "preprocess",
        "train",
        "stop",
        "resume",
        "extend",
        "cross-validate",
        "demo",
        "predict",
        "evaluate",
        "report",
    ],
)
def test_help_teaches_every_command(command: str) -> None:
    shown = goodfit(*([command] if command else []), "--help")
    assert shown.returncode == 0
    assert "Usage" in shown.stdout
    assert (command or "train") in shown.stdout


def test_parsing_imports_nothing_heavy() -> None:
    code = (
        "import sys, goodfit.cli.app\n"
        "heavy = {'torch', 'numpy', 'monai', 'SimpleITK', 'plotly', 'pydantic', 'scipy'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or None)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr


def test_a_mistyped_option_gets_a_suggestion() -> None:
    shown = goodfit("train", "somewhere", "--epoch", "3")
    assert shown.returncode == 2
    assert "--epochs" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["train", "nowhere"], 1, "nowhere"),
        (["check", "nowhere"], 1, "nowhere"),
        (["train", "nowhere", "--time", "soon"], 2, "no duration"),
        (["train", "nowhere", "--set", "plan.batchsize=3"], 2, "no such setting"),
        (["train", "nowhere", "--set", "seed"], 2, "section.field=value"),
        (["train", "nowhere", "--validate-every", "often"], 2, "no period"),
        (["train", "nowhere", "--hook", "my_hooks"], 1, "nowhere"),
        (["train", "nowhere", "--recipe", "my_recipes"], 2, "write module:Class"),
        (["train", "nowhere", "--log", "wandb"], 2, "machine.log"),
        (["stop", "nowhere"], 1, "no run folder"),
        (["resume", "nowhere"], 1, "no run folder"),
        (["extend", "nowhere", "--epochs", "3"], 1, "no run folder"),
        (["predict", "nowhere", "in", "out"], 1, "no run folder"),
        (["report", "nowhere"], 1, "no run folder"),
        (["evaluate", "nowhere", "elsewhere"], 1, "nowhere"),
    ],
)
def test_a_mistake_gets_one_message_and_no_traceback(
    arguments: list[str], code: int, said: str, tmp_path: Path
) -> None:
    shown = goodfit(*arguments, cwd=tmp_path)
    assert shown.returncode == code, shown.stderr
    assert said in shown.stderr
    assert "Traceback" not in shown.stderr + shown.stdout
    assert list(tmp_path.iterdir()) == [], "nothing is written"


def test_check_shows_a_table_and_leaves_with_one(boxes: Path, tmp_path: Path) -> None:
    assert goodfit("check", str(boxes)).returncode == 0
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "labelsTr").mkdir()
    (tmp_path / "dataset.json").write_bytes((boxes / "dataset.json").read_bytes())
    for folder, name in (("imagesTr", "a_0000.nii.gz"), ("labelsTr", "a.nii.gz")):
        (tmp_path / folder / name).write_bytes(b"not an image")
    shown = goodfit("check", str(tmp_path))
    assert shown.returncode == 1
    assert "what to do" in shown.stdout
    assert "a_0000.nii.gz" in shown.stdout


def test_evaluate_prints_the_scores(finished: TrainResult, boxes: Path) -> None:
    shown = goodfit("evaluate", str(finished.run.predictions), str(finished.run.predictions))
    assert shown.returncode == 0, shown.stderr
    assert "mean Dice 1.0000" in shown.stdout
