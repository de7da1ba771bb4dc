"""Folders of probabilities become labels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from goodfit.commands.ensemble import ensemble
from goodfit.data.geometry import Geometry
from goodfit.data.readers import read_label, write_label, write_probabilities
from goodfit.errors import DatasetError, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

PLACE = Geometry((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), 3)
DESCRIPTION = {"labels": {"background": 0, "a": 3}, "channel_names": {"0": "CT"}, "file_ending": ".nii.gz"}


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    for name, chance in (("one", 0.9), ("two", 0.3)):
        chances = np.zeros((2, 2, 2, 2))
        chances[1], chances[0] = chance, 1 - chance
        write_probabilities(tmp_path / name / "x.npz", chances)
        write_label(tmp_path / name / "x.nii.gz", np.zeros((2, 2, 2), np.uint8), PLACE)
    (tmp_path / "one" / "dataset.json").write_text(json.dumps(DESCRIPTION))
    return [tmp_path / "one", tmp_path / "two"]


def test_the_classes_come_from_the_first_folder(folders: list[Path], tmp_path: Path) -> None:
    (file,) = ensemble(folders, tmp_path / "out", probabilities=True)
    assert (read_label(file)[0] == 3).all()
    assert (tmp_path / "out" / "x.npz").is_file()
    assert json.loads((tmp_path / "out" / "dataset.json").read_text()) == DESCRIPTION


def test_or_from_a_file_that_is_named(folders: list[Path], tmp_path: Path) -> None:
    (tmp_path / "one" / "dataset.json").rename(tmp_path / "classes.json")
    with pytest.raises(DatasetError, match=r"is not there.*--classes"):
        ensemble(folders, tmp_path / "out")
    assert len(ensemble(folders, tmp_path / "out", classes=tmp_path / "classes.json")) == 1


def test_one_folder_and_an_output_among_them_are_refused(folders: list[Path]) -> None:
    with pytest.raises(SettingsError, match="two or more"):
        ensemble(folders[:1], folders[0].parent / "out")
    with pytest.raises(SettingsError, match="is one of the folders to average"):
        ensemble(folders, folders[1])
