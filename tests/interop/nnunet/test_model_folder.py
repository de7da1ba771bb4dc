"""Finding trained models and their folds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from goodfit.errors import RunError
from goodfit.interop.nnunet.model_folder import choose_folds, find_models

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_folds_are_listed_in_order_with_their_checkpoints(nnunet_model: Callable[..., Path]) -> None:
    folder = nnunet_model(("10", "2", "all"), names=("checkpoint_best.pth", "checkpoint_final.pth"))
    (folder / "fold_3").mkdir()
    (folder / "fold_x").mkdir()
    (model,) = find_models(folder)
    assert list(model.folds) == ["2", "10", "all"]
    assert model.folds["2"] == ["checkpoint_final.pth", "checkpoint_best.pth"]
    assert choose_folds(model, None) == ["2", "10"]
    assert choose_folds(model, ["all", 2, "2"]) == ["all", "2"]
    with pytest.raises(RunError, match=r"there is no trained fold 3\. There are: 2, 10, all"):
        choose_folds(model, [3])


def test_all_alone_is_the_default(nnunet_model: Callable[..., Path]) -> None:
    assert choose_folds(find_models(nnunet_model(("all",)))[0], None) == ["all"]


def test_models_below_a_folder_are_found(nnunet_model: Callable[..., Path], tmp_path: Path) -> None:
    for name in ("nnUNetTrainer__nnUNetPlans__2d", "nnUNetTrainer__nnUNetPlans__3d_fullres"):
        nnunet_model(folder=tmp_path / "results" / "Dataset001_Tiny" / name)
    assert [model.path.name for model in find_models(tmp_path / "results")] == [
        "nnUNetTrainer__nnUNetPlans__2d",
        "nnUNetTrainer__nnUNetPlans__3d_fullres",
    ]


def test_what_is_no_model_is_refused_with_the_way_out(nnunet_model: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no such folder"):
        find_models(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="holds no trained model of nnU-Net"):
        find_models(tmp_path / "empty")
    folder = nnunet_model()
    with pytest.raises(RunError, match=r"this is one fold of a model\. Give .*--folds 0"):
        find_models(folder / "fold_0")
    (folder / "fold_0" / "checkpoint_final.pth").unlink()
    with pytest.raises(RunError, match="no fold has a checkpoint_final"):
        find_models(folder)
