"""goodfit select, ensemble and postprocess: options that reach the function, and what is shown."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from goodfit.commands.selection import Candidate, SelectedModel, SelectionRecord
from goodfit.tasks.segmentation.postprocessing import Postprocessing, Trial

if TYPE_CHECKING:
    import io

    import pytest

_spec = importlib.util.spec_from_file_location("typed", Path(__file__).with_name("typed.py"))
assert _spec is not None
assert _spec.loader is not None
_typed = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_typed)
Command, run, asked = _typed.Command, _typed.run, _typed.asked

DECIDED = Postprocessing(
    trials=[Trial(name="liver", values=[1], helps=True, dice_before=0.8, dice_after=0.9, reason="the Dice rises")]
)
RECORD = SelectionRecord(
    goodfit="0",
    dataset="data",
    cases=7,
    candidates=[
        Candidate(models=["../a", "../b"], dice=0.91, classes={"liver": 0.91}),
        Candidate(models=["../a"], dice=0.9, classes={"liver": 0.9}),
    ],
    selected=[SelectedModel(path="../a", folds=["0"])],
    checkpoint="best",
    tta=False,
    step_size=0.5,
    postprocessing=DECIDED,
    dice=0.91,
    dice_postprocessed=0.92,
    command="goodfit predict out IMAGES OUTPUT",
)


def test_select_shows_candidates_postprocessing_and_the_command(
    monkeypatch: pytest.MonkeyPatch, terminal: io.StringIO
) -> None:
    found = SimpleNamespace(file=Path("out/selection.json"), record=RECORD, names=["a + b", "a"])
    command = Command(monkeypatch, "select", found)
    shown = run("select", "a", "b", "--output", "out", "--folds", "0-1", "--no-pairs") + terminal.getvalue()
    assert asked(command) == {
        "cross_validations": [Path("a"), Path("b")],
        "output": Path("out"),
        "folds": ["0", "1"],
        "pairs": False,
    }
    shown = " ".join(shown.split())
    for words in ("7 cases, optimistic", "a + b", "0.9100", "liver", "the Dice rises", "postprocessed 0.9200"):
        assert words in shown
    assert "Optimistic: these scores chose" in shown
    assert "Next: goodfit predict out IMAGES OUTPUT" in shown
    run("select", "a")
    assert asked(command)["pairs"] is True


def test_options_of_ensemble_reach_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    command = Command(monkeypatch, "ensemble", [Path("out/x.nii.gz")])
    shown = run("ensemble", "a", "b", "-o", "out", "--classes", "d.json", "--probabilities")
    assert asked(command) == {
        "folders": [Path("a"), Path("b")],
        "output": Path("out"),
        "classes": Path("d.json"),
        "probabilities": True,
    }
    assert "1 file in out" in shown


def test_options_of_postprocess_reach_the_function(monkeypatch: pytest.MonkeyPatch, terminal: io.StringIO) -> None:
    command = Command(monkeypatch, "postprocess", DECIDED)
    shown = run("postprocess", "in", "out", "--from", "selection.json", "--references", "labels") + terminal.getvalue()
    assert asked(command) == {
        "predictions": Path("in"),
        "output": Path("out"),
        "from_": Path("selection.json"),
        "references": Path("labels"),
    }
    assert "the Dice rises" in shown
    assert "postprocessed: out" in shown
