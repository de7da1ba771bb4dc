"""nnU-Net's folder of a trained model, TRAINER__PLANS__CONFIGURATION: plans.json, dataset.json and fold_0, fold_1, ..."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from goodfit.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FINAL, BEST = "checkpoint_final.pth", "checkpoint_best.pth"
ALL = "all"
_DEPTH = 3
"""Folders between the top of an archive (DATASET/TRAINER__PLANS__CONFIGURATION) and plans.json, at most."""


@dataclass(frozen=True)
class ModelFolder:
    """A trained model of nnU-Net.

    Attributes:
        path: the folder.
        folds: name ("0", "1", ..., "all") -> checkpoint names that are there, nnU-Net's default first.
    """

    path: Path
    folds: dict[str, list[str]]

    @property
    def plans(self) -> Path:
        """The plans that were trained with."""
        return self.path / "plans.json"

    @property
    def dataset(self) -> Path:
        """Channels and classes."""
        return self.path / "dataset.json"

    def checkpoint(self, fold: str, name: str) -> Path:
        """A checkpoint of a fold."""
        return self.path / f"fold_{fold}" / name


def is_model_folder(folder: Path) -> bool:
    """Whether a folder holds what nnU-Net writes into that of a trained model."""
    return (folder / "plans.json").is_file() and (folder / "dataset.json").is_file()


def find_models(folder: Path) -> list[ModelFolder]:
    """Find the models in a folder: itself, or those below it (a folder of nnUNet_results, an unpacked archive).

    Raises:
        RunError: there is none, or one without a trained fold.
    """
    if not folder.is_dir():
        raise RunError(f"{folder}: there is no such folder.")
    if is_model_folder(folder.parent) and folder.name.startswith("fold_"):
        raise RunError(
            f"{folder}: this is one fold of a model. Give the model's folder, {folder.parent}, with --folds "
            f"{folder.name.removeprefix('fold_')}."
        )
    level = [folder]
    for _ in range(_DEPTH):
        found = sorted(one for one in level if is_model_folder(one))
        if found:
            return [_open(one) for one in found]
        level = [inner for one in level for inner in one.iterdir() if inner.is_dir() and not inner.is_symlink()]
    raise RunError(
        f"{folder}: holds no trained model of nnU-Net: a folder TRAINER__PLANS__CONFIGURATION with plans.json, "
        "dataset.json and fold_0, fold_1, ... or fold_all."
    )


def choose_folds(model: ModelFolder, wanted: Sequence[int | str] | None) -> list[str]:
    """Say which folds are meant: by default every numbered one, or the one on all cases where there is no other.

    Raises:
        RunError: a fold is not there, or holds no checkpoint.
    """
    numbered = [name for name in model.folds if name != ALL]
    if wanted is None:
        return numbered or [ALL]
    names = list(dict.fromkeys(str(name).strip() for name in wanted))
    missing = [name for name in names if name not in model.folds]
    if missing or not names:
        raise RunError(
            f"{model.path}: there is no trained fold {', '.join(missing)}. There are: {', '.join(model.folds)}."
        )
    return names


def _open(folder: Path) -> ModelFolder:
    folds: dict[str, list[str]] = {}
    for inner in folder.glob("fold_*"):
        name = inner.name.removeprefix("fold_")
        there = [checkpoint for checkpoint in (FINAL, BEST) if (inner / checkpoint).is_file()]
        if there and (name.isdecimal() or name == ALL):
            folds[name] = there
    if not folds:
        raise RunError(
            f"{folder}: no fold has a {FINAL} or {BEST}. The training has not ended, or these files were left out."
        )
    order = sorted((name for name in folds if name != ALL), key=int) + [name for name in folds if name == ALL]
    return ModelFolder(folder, {name: folds[name] for name in order})
