"""From a checkpoint to label files."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import SimpleITK as sitk
import torch
from torch import nn

from goodfit.commands import predict as module
from goodfit.commands.predict import load_network, predict, predict_test_cases
from goodfit.errors import DatasetError, RunError, SettingsError
from goodfit.planning.plan import save_plan
from goodfit.tasks.segmentation.network import build_network
from goodfit.training.checkpoint import Checkpoint, save_checkpoint
from goodfit.training.recipe import Recipe
from goodfit.training.weights import weights_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.commands.plan import Prepared

CPU = torch.device("cpu")


def weights(prepared: Prepared, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    network = build_network(prepared.plan.chosen.network, 1, 3, 3)
    return {name: tensor.clone() for name, tensor in weights_of(network).items()}


@pytest.fixture
def prepared(prepare_run: Callable[..., Prepared]) -> Prepared:
    """A run with a plan and a best checkpoint that holds an average beside the last weights."""
    run = prepare_run({"prediction.checkpoint": "best", "prediction.tta": True, "prediction.step_size": 0.75})
    run.run.update_record(dataset=str(run.dataset.root), settings={})
    save_plan(run.plan, run.run.plan)
    save_checkpoint(run.run.best, Checkpoint({"network": weights(run, 1), "average": weights(run, 2)}, {}))
    return run


def test_averaged_weights_are_loaded_for_inference(prepared: Prepared) -> None:
    network = load_network(prepared.run, prepared.plan, "best", CPU)
    assert not network.training
    wanted = weights(prepared, 2)
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in weights_of(network).items())


def wide(plan: Any, default: Any) -> nn.Module:
    return nn.Sequential(default(), nn.Identity(), nn.Conv3d(3, 3, 1))


class Wide(Recipe):
    """Makes another network."""

    def build_network(self, plan: Any, default: Any) -> nn.Module:
        return wide(plan, default)


def save_wide(prepared: Prepared) -> dict[str, torch.Tensor]:
    torch.manual_seed(4)
    saved = {
        name: tensor.clone()
        for name, tensor in weights_of(
            wide(prepared.plan, lambda: build_network(prepared.plan.chosen.network, 1, 3, 3))
        ).items()
    }
    save_checkpoint(prepared.run.best, Checkpoint({"network": saved}, {}))
    return saved


def test_a_network_of_the_users_own_is_made_by_the_recipe_handed_in_or_the_one_recorded(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = save_wide(prepared)
    prepared.run.update_record(own_network=True, settings={"training.recipe": "their_recipes:Wide"})
    loaded = weights_of(load_network(prepared.run, prepared.plan, "best", CPU, Wide()))
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in loaded.items())
    with pytest.raises(SettingsError, match="their_recipes:Wide: the module cannot be imported"):
        load_network(prepared.run, prepared.plan, "best", CPU)
    monkeypatch.setitem(sys.modules, "their_recipes", SimpleNamespace(Wide=Wide))
    loaded = weights_of(load_network(prepared.run, prepared.plan, "best", CPU))
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in loaded.items())


def test_a_recipe_that_leaves_the_network_alone_is_not_needed_to_predict(prepared: Prepared) -> None:
    prepared.run.update_record(own_network=False, settings={"training.recipe": "gone_module:Gone"})
    wanted = weights(prepared, 2)
    loaded = weights_of(load_network(prepared.run, prepared.plan, "best", CPU))
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in loaded.items())


def test_the_networks_own_weights_serve_where_there_is_no_average(prepared: Prepared) -> None:
    save_checkpoint(prepared.run.last, Checkpoint({"network": weights(prepared, 3)}, {}))
    wanted = weights(prepared, 3)
    loaded = weights_of(load_network(prepared.run, prepared.plan, "last", CPU))
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in loaded.items())


def test_checkpoints_that_cannot_be_loaded_are_named(prepared: Prepared, prepare_run: Callable[..., Prepared]) -> None:
    run = prepared.run
    with pytest.raises(RunError, match=r"stable\.safetensors: there is no such checkpoint"):
        load_network(run, prepared.plan, "stable", CPU)
    with pytest.raises(SettingsError, match="no 'newest'; write best, last, stable"):
        load_network(run, prepared.plan, "newest", CPU)
    save_checkpoint(run.last, Checkpoint({"optimizer": {"0/step": torch.zeros(1)}}, {}))
    with pytest.raises(RunError, match=r"last\.safetensors: this checkpoint holds no weights"):
        load_network(run, prepared.plan, "last", CPU)
    other = prepare_run(data={"classes": {"one": [1]}}).plan
    with pytest.raises(RunError, match="belongs to another network"):
        load_network(run, other, "best", CPU)


def test_a_folder_is_predicted_in_its_own_geometry(
    prepared: Prepared, root: Path, tmp_path: Path, listener: Any
) -> None:
    written = predict(prepared.run.path, root / "imagesTr", tmp_path / "out", device="cpu", observer=listener)
    assert written == [tmp_path / "out" / f"c{case}.nii.gz" for case in range(5)]
    assert listener.stages == ["predict"]
    assert listener.progress[-1] == (5, 5)
    for file in written:
        one, other = sitk.ReadImage(str(file)), sitk.ReadImage(str(root / "labelsTr" / file.name))
        assert (one.GetSize(), one.GetSpacing(), one.GetOrigin()) == (
            other.GetSize(),
            other.GetSpacing(),
            other.GetOrigin(),
        )
        assert sitk.GetArrayFromImage(one).max() <= 2


def test_finished_cases_are_left_alone_when_asked(prepared: Prepared, root: Path, tmp_path: Path) -> None:
    image, out = root / "imagesTr" / "c1_0000.nii.gz", tmp_path / "out"
    (file,) = predict(prepared.run.path, image, out, device="cpu", probabilities=True)
    assert file.with_name("c1.npz").is_file()
    before = file.stat().st_mtime_ns
    predict(prepared.run.path, image, out, device="cpu", continue_=True)
    assert file.stat().st_mtime_ns == before
    predict(prepared.run.path, image, out, device="cpu")
    assert file.stat().st_mtime_ns != before


def test_what_is_not_there_is_named_and_nothing_written(prepared: Prepared, root: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run folder"):
        predict(tmp_path / "nowhere", root / "imagesTr", tmp_path / "out")
    with pytest.raises(DatasetError, match="no such file or folder"):
        predict(prepared.run.path, tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(SettingsError, match="step_size"):
        predict(prepared.run.path, root / "imagesTr", tmp_path / "out", device="cpu", step_size=0)
    assert not (tmp_path / "out").exists()


def test_options_and_wishes_reach_the_prediction(
    prepared: Prepared, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listener: Any
) -> None:
    calls: list[tuple[Any, dict[str, Any]]] = []

    def keep(network: Any, plan: Any, cases: Any, output: Path, **options: Any) -> list[Path]:
        calls.append(((cases, output), options))
        return []

    monkeypatch.setattr(module, "predict_cases", keep)
    monkeypatch.setattr(module, "score_run", lambda *arguments: arguments)
    predict(prepared.run.path, root / "imagesTr", tmp_path / "out", tta=True, step_size=0.25, device="cpu")
    (cases, output), options = calls.pop()
    assert ([name for name, _ in cases], output) == (["c0", "c1", "c2", "c3", "c4"], tmp_path / "out")
    assert (options["mirror"], options["step_size"], options["probabilities"]) == (True, 0.25, False)

    scored = predict_test_cases(prepared, listener)
    (cases, output), options = calls.pop()
    assert cases == [("c4", (root / "imagesTr" / "c4_0000.nii.gz",))]
    assert output == prepared.run.predictions
    assert (options["mirror"], options["step_size"], options["precision"]) == (True, 0.75, "float32")
    assert scored == (prepared.dataset, prepared.split, prepared.run, prepared.plan.data.labels, listener)
    assert listener.stages == ["predict the test cases"]


def test_a_run_on_all_cases_has_none_to_score(prepared: Prepared, listener: Any) -> None:
    everything = [*prepared.split.train, *prepared.split.validation, *prepared.split.test]
    split = prepared.split.model_copy(
        update={"train": everything, "validation": everything, "test": [], "optimistic": True}
    )
    assert predict_test_cases(replace(prepared, split=split), listener) is None
    assert listener.stages == []
    assert not prepared.run.predictions.exists()
