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
