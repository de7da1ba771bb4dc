"""goodfit cross-validate: options that reach the function, tables that say what is optimistic."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from goodfit.cli.cross_validation import cross_validate, show_cross_validation
from goodfit.settings import SHORTCUTS
from goodfit.tasks.segmentation.fold_scores import pool
from goodfit.tasks.segmentation.metrics import ClassMetrics
from goodfit.tasks.segmentation.scores import OPTIMISTIC, Scores, gather

if TYPE_CHECKING:
    import io

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command("cross-validate")(cross_validate)


def fold(case: str, dice: float, optimistic: bool) -> Scores:
    metrics = ClassMetrics(
        dice=dice,
        iou=dice,
        hd95=2.0,
        surface_dice=dice,
        reference_volume=1.0,
        prediction_volume=1.0,
        volume_difference=0.0,
    )
    return gather(
        {case: {"liver": metrics}},
        ["liver"],
        set_name="test",
        optimistic=optimistic,
        tolerance=1.0,
        distance_unit="mm",
        volume_unit="ml",
        spacing_known=True,
    )


def result(*, optimistic: bool = False, finished: bool = True, scored: bool = True) -> Any:
    scores = {"0": fold("a", 0.9, optimistic), "1": fold("b", 0.5, optimistic)} if scored else {}
    return SimpleNamespace(
        folder=Path("runs/D/cv"),
        runs={"0": SimpleNamespace(path=Path("runs/D/cv/fold_0"))},
        fold_scores=scores,
        scores=pool(scores) if scores else None,
        report=Path("runs/D/cv/report.html"),
        finished=finished,
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the function is called with, and (under "gives") what it gives."""
    got: dict[str, Any] = {"gives": result()}

    def stand_in(dataset: Path, **options: Any) -> Any:
        got["dataset"], got["options"] = dataset, options
        return got["gives"]

    monkeypatch.setattr(importlib.import_module("goodfit.commands.cross_validate"), "cross_validate", stand_in)
    return got


def run(*arguments: str, code: int = 0) -> str:
    answer = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert answer.exit_code == code, (answer.output, answer.exception)
    return answer.output


def test_options_reach_the_function(asked: dict[str, Any]) -> None:
    typed = ["--run", "here", "--fresh", "--folds", "0,2-3", "--splits", "s.json", "--stop-on-fold", "--time", "5h"]
    typed += ["--parallel", "3", "--probabilities"]
    shown = run("data", *typed, "--epochs", "7", "--device", "cpu", "--set", "training.ema=0.1")
    assert asked["dataset"] == Path("data")
    options = {name: value for name, value in asked["options"].items() if value is not None and name != "observer"}
    assert options == {
        "run": Path("here"),
        "fresh": True,
        "folds": ["0", "2", "3"],
        "splits": Path("s.json"),
        "stop_on_fold": True,
        "parallel": 3,
        "settings": {"training.ema": "0.1", "prediction.probabilities": True},
        "time": "5h",
        "epochs": 7,
        "device": "cpu",
    }
    assert "report: runs/D/cv/report.html" in shown
    assert "goodfit predict runs/D/cv IMAGES OUTPUT (the mean of the folds)" in shown


def test_every_shortcut_is_an_option_and_none_is_set_by_itself(asked: dict[str, Any]) -> None:
    run("data")
    options = asked["options"]
    shortcuts = [name for name in SHORTCUTS if name != "fold"]  # of which a cross-validation has all
    assert set(shortcuts) <= set(options)
    assert [name for name in shortcuts if options[name] is not None] == []
    assert (options["run"], options["fresh"], options["folds"]) == (None, False, None)
    assert (options["splits"], options["stop_on_fold"], options["settings"]) == (None, False, {})
    assert options["parallel"] == 1
    run("data", "--parallel", "auto")
    assert asked["options"]["parallel"] == "auto"


def test_an_interrupted_one_leaves_with_130(asked: dict[str, Any]) -> None:
    asked["gives"] = result(finished=False)
    shown = run("data", code=130)
    assert "goes on from here" in shown
    assert "mean over folds" in shown, "what is there is shown"


def test_training_on_all_cases_shows_no_scores(asked: dict[str, Any]) -> None:
    asked["gives"] = result(scored=False)
    shown = run("data", "--folds", "all")
    assert asked["options"]["folds"] == ["all"]
    assert "No fold is scored." in shown
    assert "goodfit predict" in shown


def test_help_teaches(asked: dict[str, Any]) -> None:
    shown = " ".join(run("--help").replace("│", " ").split())
    for words in ("splits_final.json", "optimistic", "--folds", "each fold gets its part"):
        assert words in shown
    assert "options" not in asked


def test_tables_say_what_is_optimistic(terminal: io.StringIO) -> None:
    show_cross_validation(result())
    honest = terminal.getvalue()
    assert "optimistic" not in honest
    assert "0.700 ± 0.200" in honest
    show_cross_validation(result(optimistic=True))
    assert terminal.getvalue().count(OPTIMISTIC) == 3, "both titles and the last line"
