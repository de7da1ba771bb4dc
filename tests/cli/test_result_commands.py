"""What is typed after predict, evaluate and report reaches the function of the same name."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

_spec = importlib.util.spec_from_file_location("typed", Path(__file__).with_name("typed.py"))
assert _spec is not None
assert _spec.loader is not None
_typed = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_typed)
SCORES = _typed.SCORES
Command, run, asked = _typed.Command, _typed.run, _typed.asked


def test_every_option_of_predict_reaches_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    predict = Command(monkeypatch, "predict", [Path("out/a.nii.gz")])
    typed = ["--checkpoint", "last", "--tta", "--step-size", "0.25", "--probabilities", "--continue", "--device", "cpu"]
    typed += ["--stride", "3", "--with", "run2", "--with", "run3", "--folds", "0-2,all", "--part", "2/4"]
    assert "1 file in out. Next: goodfit evaluate out" in run("predict", "run", "in", "out", *typed)
    of_instances = {"tracker", "score", "flag_unusual"}
    assert asked(predict, without=of_instances) == {
        "run": Path("run"),
        "inputs": Path("in"),
        "output": Path("out"),
        "with_": [Path("run2"), Path("run3")],
        "folds": ["0", "1", "2", "all"],
        "part": "2/4",
        "checkpoint": "last",
        "tta": True,
        "step_size": 0.25,
        "probabilities": True,
        "continue_": True,
        "stride": 3,
        "device": "cpu",
    }


def test_every_option_of_evaluate_reaches_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = Command(monkeypatch, "evaluate", SCORES)
    shown = run("evaluate", "a", "b", "--json", "s.json", "--csv", "s.csv", "--tolerance", "2.5", "--only-predicted")
    assert asked(evaluate) == {
        "predictions": Path("a"),
        "references": Path("b"),
        "json_file": Path("s.json"),
        "csv_file": Path("s.csv"),
        "tolerance_mm": 2.5,
        "only_predicted": True,
    }
    assert "mean Dice 0.9000" in shown


def test_report_reaches_its_function(monkeypatch: pytest.MonkeyPatch) -> None:
    report = Command(monkeypatch, "report", Path("run/report.html"))
    assert run("report", "run").strip() == "report: run/report.html"
    assert asked(report) == {"run": Path("run")}
