"""From a checkpoint to label files."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import SimpleITK as sitk
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from goodfit.commands import predict as module
from goodfit.commands.models import load_network
from goodfit.commands.predict import describe_output, parse_part, part_of, predict, predict_test_cases
from goodfit.commands.trained import remember
from goodfit.data.description import read_description
from goodfit.errors import DatasetError, RunError, SettingsError
from goodfit.planning.plan import save_plan
from goodfit.tasks.segmentation.model import Effort
from goodfit.tasks.segmentation.network import build_network
from goodfit.training.checkpoint import Checkpoint, save_checkpoint
from goodfit.training.recipe import Recipe
from goodfit.training.run_folder import RunFolder
from goodfit.training.weights import weights_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    from goodfit.commands.plan import Prepared


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
    network = load_network(prepared.run, prepared.plan, "best")
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
    loaded = weights_of(load_network(prepared.run, prepared.plan, "best", Wide()))
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in loaded.items())
    with pytest.raises(SettingsError, match="their_recipes:Wide: the module cannot be imported"):
        load_network(prepared.run, prepared.plan, "best")
    monkeypatch.setitem(sys.modules, "their_recipes", SimpleNamespace(Wide=Wide))
    loaded = weights_of(load_network(prepared.run, prepared.plan, "best"))
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in loaded.items())


def test_a_recipe_that_leaves_the_network_alone_is_not_needed_to_predict(prepared: Prepared) -> None:
    prepared.run.update_record(own_network=False, settings={"training.recipe": "gone_module:Gone"})
    wanted = weights(prepared, 2)
    loaded = weights_of(load_network(prepared.run, prepared.plan, "best"))
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in loaded.items())


def test_the_networks_own_weights_serve_where_there_is_no_average(prepared: Prepared) -> None:
    save_checkpoint(prepared.run.last, Checkpoint({"network": weights(prepared, 3)}, {}))
    wanted = weights(prepared, 3)
    loaded = weights_of(load_network(prepared.run, prepared.plan, "last"))
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in loaded.items())


def test_checkpoints_that_cannot_be_loaded_are_named(prepared: Prepared, prepare_run: Callable[..., Prepared]) -> None:
    run = prepared.run
    with pytest.raises(RunError, match=r"stable\.safetensors: there is no such checkpoint"):
        load_network(run, prepared.plan, "stable")
    with pytest.raises(SettingsError, match="no 'newest'; write best, last, stable"):
        load_network(run, prepared.plan, "newest")
    save_checkpoint(run.last, Checkpoint({"optimizer": {"0/step": torch.zeros(1)}}, {}))
    with pytest.raises(RunError, match=r"last\.safetensors: this checkpoint holds no weights"):
        load_network(run, prepared.plan, "last")
    other = prepare_run(data={"classes": {"one": [1]}}).plan
    with pytest.raises(RunError, match="belongs to another network"):
        load_network(run, other, "best")


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

    def keep(models: Any, cases: Any, output: Path, effort: Effort, **options: Any) -> list[Path]:
        calls.append(((cases, output), {"models": models, "effort": effort, **options}))
        return []

    monkeypatch.setattr(module, "predict_cases", keep)
    monkeypatch.setattr(module, "score_run", lambda *arguments: arguments)
    predict(prepared.run.path, root / "imagesTr", tmp_path / "out", tta=True, step_size=0.25, device="cpu")
    (cases, output), options = calls.pop()
    assert ([name for name, _ in cases], output) == (["c0", "c1", "c2", "c3", "c4"], tmp_path / "out")
    assert (options["effort"], options["probabilities"]) == (Effort(0.25, True), False)

    scored = predict_test_cases(prepared, listener)
    (cases, output), options = calls.pop()
    assert cases == [("c4", (root / "imagesTr" / "c4_0000.nii.gz",))]
    assert output == prepared.run.predictions
    assert (options["effort"], options["models"][0].precision) == (Effort(0.75, True), "float32")
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


@given(st.integers(0, 60), st.integers(1, 12), st.randoms())
def test_parts_are_disjoint_complete_and_the_same_on_every_machine(count: int, parts: int, random: Random) -> None:
    cases = [(f"case{number:02}", ()) for number in range(count)]
    shuffled = random.sample(cases, count)
    made = [part_of(shuffled, (part, parts)) for part in range(1, parts + 1)]
    assert sorted(case for part in made for case in part) == cases
    assert made == [part_of(cases, (part, parts)) for part in range(1, parts + 1)]
    assert max(map(len, made)) - min(map(len, made)) <= 1


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "x/2", "1/2/3", "-1/2", (2, 1)])
def test_other_parts_are_refused(text: Any) -> None:
    with pytest.raises(SettingsError, match="write k/n with k from 1 to n"):
        parse_part(text)
    assert parse_part("2/3") == (2, 3) == parse_part((2, 3))


def test_parts_may_be_continued(prepared: Prepared, root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = predict(prepared.run.path, root / "imagesTr", out, part="1/2", device="cpu", continue_=True)
    assert [file.name for file in first] == ["c0.nii.gz", "c2.nii.gz", "c4.nii.gz"]
    # What is there already does not move the borders of the parts.
    assert predict(prepared.run.path, root / "imagesTr", out, part="1/2", device="cpu", continue_=True) == []
    second = predict(prepared.run.path, root / "imagesTr", out, part="2/2", device="cpu", continue_=True)
    assert [file.name for file in second] == ["c1.nii.gz", "c3.nii.gz"]
    assert predict(prepared.run.path, root / "imagesTr", tmp_path / "none", part="7/9", device="cpu") == []
    assert not (tmp_path / "none").exists()


def test_the_classes_are_described_beside_the_predictions(prepared: Prepared, root: Path, tmp_path: Path) -> None:
    image = root / "imagesTr" / "c1_0000.nii.gz"
    predict(prepared.run.path, image, tmp_path / "out", device="cpu")
    described = read_description(tmp_path / "out" / "dataset.json")
    assert described.labels == prepared.plan.data.labels
    assert described.channels == ("MRI",)
    mine = tmp_path / "mine" / "dataset.json"
    mine.parent.mkdir()
    mine.write_text("{}")
    predict(prepared.run.path, image, mine.parent, device="cpu")
    assert mine.read_text() == "{}", "a file that is there is never changed"


def test_regions_and_the_ignore_label_are_described(tmp_path: Path, tiny_plan: Any) -> None:
    data = tiny_plan(data={"classes": {"whole": [1, 2], "core": [2]}, "regions_order": [1, 2], "ignore": 5}).data
    describe_output(tmp_path, data)
    assert read_description(tmp_path / "dataset.json").labels == data.labels


def test_options_for_segmentation_are_refused_for_instances(tmp_path: Path) -> None:
    RunFolder(tmp_path / "boxes").update_record(kind="instances")
    of_cases: list[dict[str, Any]] = [{"folds": [0]}, {"with_": ["x"]}, {"part": "1/2"}, {"probabilities": True}]
    of_cases += [{"tta": True}, {"step_size": 0.25}, {"continue_": True}]
    for options in of_cases:
        with pytest.raises(SettingsError, match="not for a run on instances"):
            predict(tmp_path / "boxes", tmp_path, tmp_path / "out", **options)
    with pytest.raises(SettingsError, match="a list of inputs: not for a run on instances"):
        predict(tmp_path / "boxes", [tmp_path / "a.png"], tmp_path / "out")


def test_an_edit_after_the_training_is_said_to_have_no_effect(
    prepared: Prepared, root: Path, tmp_path: Path, listener: Any
) -> None:
    remember(prepared.run, prepared.plan, prepared.split)
    content = json.loads(prepared.run.plan.read_text())
    content["training"]["learning_rate"] = 0.5
    prepared.run.plan.write_text(json.dumps(content))
    predict(prepared.run.path, root / "imagesTr", tmp_path / "out", device="cpu", observer=listener)
    assert any("training.learning_rate edited in plan.json after the training" in note for note in listener.notes)
