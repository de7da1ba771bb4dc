from __future__ import annotations

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from goodfit.cli.convert import app


def test_masks_are_converted_and_counted(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / "in" / folder).mkdir(parents=True)
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / "in/images/a.png")
    mask = np.zeros((8, 9), np.uint8)
    mask[1:3, 2:5] = 1
    mask[5:, 6:] = 2
    Image.fromarray(mask).save(tmp_path / "in/masks/a.png")
    result = CliRunner().invoke(app, ["masks", str(tmp_path / "in"), str(tmp_path / "out"), "--category", "cell"])
    assert result.exit_code == 0
    assert "1 image (0 without an object), 2 objects of cell" in result.output
    assert (tmp_path / "out/annotations.json").is_file()


def test_help_lists_the_kinds():
    assert "masks" in CliRunner().invoke(app, ["--help"]).output


def test_a_decathlon_dataset_is_converted(tmp_path, monkeypatch):
    from goodfit.data import msd

    calls = []

    def convert(source, target, *, on_progress):
        calls.append((source, target))
        on_progress(1, 1)
        return msd.Converted(target, ("T1", "T2"), 3, 1, ["no imagesTs"])

    monkeypatch.setattr(msd, "convert_msd", convert)
    result = CliRunner().invoke(app, ["msd", "Task01_X", "Dataset001_X"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert [[str(path) for path in call] for call in calls] == [["Task01_X", "Dataset001_X"]]
    assert "3 labelled cases, 1 test case, channels T1, T2. Next: goodfit check Dataset001_X" in result.output
    assert "note: no imagesTs." in result.output
