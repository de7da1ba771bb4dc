"""The commands import and export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from goodfit.cli.app import app
from goodfit.errors import RunError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable


def run(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False, env={"COLUMNS": "300"})
    assert result.exit_code == 0, result.output
    return result.output


def test_import_and_export_name_the_next_command(
    nnunet_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = run("import", nnunet_model(("0", "1")), "--run", "model", "--folds", "0-1")
    assert "Next: goodfit predict model IMAGES OUTPUT --tta" in said
    assert "nnUNetTrainer" in said
    said = run("export", "model", "--to", "nnunet", "--output", "results")
    place = Path("results/Dataset001_Tiny/nnUNetTrainer__nnUNetPlans__3d_fullres")
    assert f"written: {place}" in said
    assert f"-m {place} -f 0 1" in said
    assert (place / "fold_1" / "checkpoint_final.pth").is_file()


def test_a_checked_file_says_how_well_it_agrees(
    nnunet_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("import", nnunet_model(), "--run", "model")
    said = run("export", "model", "--to", "torch-export", "-o", "net.pt2")
    assert "net.pt2: checked with batches of 1 and 3" in said
    assert 'torch.export.load("net.pt2")' in said


def test_errors_reach_the_user(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no such folder"):
        run("import", tmp_path / "nowhere")
    with pytest.raises(SettingsError, match="--folds x: write numbers"):
        run("import", tmp_path, "--folds", "x")


def test_help_teaches() -> None:
    assert "nnUNetv2_export_model_to_zip" in run("import", "--help")
    assert "goodfit export RUN --to nnunet" in run("export", "--help")
