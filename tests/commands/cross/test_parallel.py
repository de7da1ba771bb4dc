"""Folds at the same time: real children, real trainings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from goodfit.commands.cross import parallel as module
from goodfit.commands.cross.folder import CrossFolder
from goodfit.commands.cross.parallel import slots_for, train_side_by_side
from goodfit.commands.cross_validate import cross_validate
from goodfit.commands.fold_process import FoldJob, Outcome
from goodfit.commands.side_by_side import Slots
from goodfit.errors import RunError, SettingsError
from goodfit.tasks.segmentation.scores import load_scores
from goodfit.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.planning.plan import Plan

TWO = Slots(("cpu", "cpu"), 1, "")
THREE = [FoldJob(name, Path(f"{name}.log"), {}) for name in "012"]


def test_one_at_a_time_needs_no_other_process(tiny_plan: Callable[..., Plan], listener: Any) -> None:
    assert slots_for(1, 5, tiny_plan(), "cpu", None, listener) is None
    assert slots_for("auto", 0, tiny_plan(), "cpu", None, listener) is None
    assert listener.notes == []
    assert slots_for("auto", 1, tiny_plan(), "cpu", None, listener) is None
    assert listener.notes[0].startswith("1 fold at a time: ")


def test_a_recipe_of_the_script_itself_cannot_be_trained_elsewhere(
    tiny_plan: Callable[..., Plan], listener: Any
) -> None:
    recipe = type("Mine", (Recipe,), {"__module__": "__main__"})
    with pytest.raises(SettingsError, match="Put it into a module"):
        slots_for(2, 5, tiny_plan(), "cpu", recipe, listener)
    assert slots_for(2, 5, tiny_plan(), "cpu", None, listener) is not None


def test_failures_are_named_together(monkeypatch: pytest.MonkeyPatch, listener: Any) -> None:
    outcomes = {"0": Outcome(True), "1": Outcome(False, "too small"), "2": Outcome(False, "too dark")}
    monkeypatch.setattr(module, "train_in_processes", lambda *_: (outcomes, False))
    with pytest.raises(RunError, match="2 of 3 folds failed; the others are kept") as caught:
        train_side_by_side(THREE, TWO, listener, lambda _: None)
    assert "fold 1: too small" in str(caught.value)
    assert "fold 2: too dark" in str(caught.value)


@pytest.mark.parametrize(("signalled", "finished"), [(False, True), (True, False)])
def test_a_signal_means_that_it_is_not_finished(
    monkeypatch: pytest.MonkeyPatch, listener: Any, signalled: bool, finished: bool
) -> None:
    monkeypatch.setattr(module, "train_in_processes", lambda *_: ({"0": Outcome(True)}, signalled))
    assert train_side_by_side(THREE[:1], TWO, listener, lambda _: None) is finished


@pytest.mark.slow
def test_folds_side_by_side_are_the_folds_one_after_the_other(root: Path, tmp_path: Path, listener: Any) -> None:
    file = tmp_path / "two.json"
    folds = [{"train": ["c2", "c3", "c4"], "val": ["c0", "c1"]}, {"train": ["c0", "c1", "c4"], "val": ["c2", "c3"]}]
    file.write_text(json.dumps(folds))
    quick = {"budget.epochs": 1, "budget.steps_per_epoch": 3, "plan.batch_size": 2, "machine.device": "cpu"}
    together = cross_validate(
        root, run=tmp_path / "together", settings=quick, splits=file, parallel=2, observer=listener
    )
    assert together.finished
    assert "2 folds at a time, as asked" in listener.notes
    assert any(note.startswith("fold 0: epoch 1") for note in listener.notes)
    assert any(note.startswith("fold 1: epoch 1") for note in listener.notes)
    apart = cross_validate(root, run=tmp_path / "apart", settings=quick, splits=file)
    assert together.scores is not None
    assert apart.scores is not None
    assert together.scores.mean_dice == pytest.approx(apart.scores.mean_dice, abs=1e-4)
    for name in "01":
        run = CrossFolder(tmp_path / "together").fold(name)
        assert run.read_record()["status"] == "finished"
        assert (
            load_scores(run.scores).cases.keys()
            == load_scores(CrossFolder(tmp_path / "apart").fold(name).scores).cases.keys()
        )
    # Probabilities can be made afterwards, without training.
    before = (tmp_path / "together" / "fold_0" / "checkpoints" / "last.safetensors").read_bytes()
    cross_validate(root, run=tmp_path / "together", settings={"prediction.probabilities": True})
    made = sorted(file.name for file in (tmp_path / "together").glob("fold_*/predictions/*.npz"))
    assert made == ["c0.npz", "c1.npz", "c2.npz", "c3.npz"]
    assert (tmp_path / "together" / "fold_0" / "checkpoints" / "last.safetensors").read_bytes() == before
