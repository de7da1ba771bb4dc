"""Probabilities of a finished fold, made afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.commands.cross.kind import Subject
from goodfit.commands.cross.probabilities import add_probabilities
from goodfit.data.dataset import open_dataset
from goodfit.data.readers import read_label
from goodfit.settings import build_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.planning.plan import Plan
    from goodfit.training.run_folder import RunFolder


def subject(root: Path, **settings: Any) -> Subject:
    explicit = {"machine.device": "cpu", **settings}
    return Subject(open_dataset(root), explicit, build_settings(explicit), root / "cache")


def test_they_are_made_once_and_only_when_asked_for(
    root: Path, tmp_path: Path, write_run: Callable[..., RunFolder], tiny_plan: Callable[..., Plan], listener: Any
) -> None:
    run = write_run(tmp_path / "fold_0", 1, test=("c1", "c3"))
    add_probabilities(subject(root), tiny_plan(), run, listener)
    assert not run.predictions.exists()
    asking = subject(root, **{"prediction.probabilities": True})
    add_probabilities(asking, tiny_plan(), run, listener)
    assert listener.notes == ["fold_0: its cases are predicted again, for their probabilities"]
    made = sorted(run.predictions.glob("*.npz"))
    assert [file.name for file in made] == ["c1.npz", "c3.npz"]
    with np.load(made[0]) as content:
        chances = content["probabilities"]
    label, _ = read_label(run.predictions / "c1.nii.gz")
    assert (chances.argmax(0) == label).mean() > 0.99  # float16 makes a few ties
    times = [file.stat().st_mtime_ns for file in made]
    add_probabilities(asking, tiny_plan(), run, listener)
    assert [file.stat().st_mtime_ns for file in made] == times
