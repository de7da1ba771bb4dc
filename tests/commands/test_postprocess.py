"""Postprocessing a folder of label files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from goodfit.commands.postprocess import postprocess
from goodfit.data.geometry import Geometry
from goodfit.data.readers import read_label, write_label
from goodfit.errors import DatasetError, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

PLACE = Geometry((2.0, 1.0, 1.5), (3.0, 2.0, 1.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), 3)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions with an island, and references."""
    truth = np.zeros((6, 5, 4), np.uint8)
    truth[:3] = 1
    guess = truth.copy()
    guess[5, 4, 3] = 1
    write_label(tmp_path / "guess" / "x.nii.gz", guess, PLACE)
    write_label(tmp_path / "truth" / "x.nii.gz", truth, PLACE)
    description = {"labels": {"background": 0, "liver": 1}, "channel_names": {"0": "CT"}, "file_ending": ".nii.gz"}
    (tmp_path / "guess" / "dataset.json").write_text(json.dumps(description))
    return tmp_path / "guess", tmp_path / "truth"


def test_it_is_decided_by_references_and_then_applied_elsewhere(
    folders: tuple[Path, Path], tmp_path: Path, listener: Any
) -> None:
    guess, truth = folders
    done = postprocess(guess, tmp_path / "out", references=truth, observer=listener)
    assert [trial.helps for trial in done.trials] == [True]
    label, geometry = read_label(tmp_path / "out" / "x.nii.gz")
    assert np.array_equal(label, read_label(truth / "x.nii.gz")[0])
    assert geometry.spacing == PLACE.spacing
    assert (tmp_path / "out" / "dataset.json").read_bytes() == (guess / "dataset.json").read_bytes()
    assert listener.stages == ["decide", "postprocess"]
    again = postprocess(guess, tmp_path / "again", from_=tmp_path / "out" / "postprocessing.json")
    assert again == done
    assert np.array_equal(read_label(tmp_path / "again" / "x.nii.gz")[0], label)


def test_one_source_of_the_decision_is_needed(folders: tuple[Path, Path], tmp_path: Path) -> None:
    guess, truth = folders
    with pytest.raises(SettingsError, match="--from FILE, or --references FOLDER"):
        postprocess(guess, tmp_path / "out")
    with pytest.raises(SettingsError, match="--from FILE, or --references FOLDER"):
        postprocess(guess, tmp_path / "out", from_=tmp_path / "x.json", references=truth)
    with pytest.raises(SettingsError, match="is the folder of the predictions"):
        postprocess(guess, guess, references=truth)
    (tmp_path / "p.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="there are no label files"):
        postprocess(tmp_path / "empty", tmp_path / "out", from_=tmp_path / "p.json")
    assert not (tmp_path / "out").exists()
