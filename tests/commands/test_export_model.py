"""Runs as files for other programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch

from goodfit.commands.export_model import export_model
from goodfit.commands.import_model import import_model
from goodfit.commands.models import open_model
from goodfit.errors import PlanError, RunError, SettingsError
from goodfit.planning.plan import save_plan
from goodfit.tasks.segmentation.network import build_network, inferring
from goodfit.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from goodfit.training.run_folder import RunFolder
from goodfit.training.weights import weights_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.planning.plan import Plan


def make_run(folder: Path, plan: Plan, seed: int = 1, **record: object) -> Path:
    """A trained run, as far as an export looks at it."""
    run = RunFolder(folder)
    torch.manual_seed(seed)
    weights = {name: tensor.clone() for name, tensor in weights_of(build_network(plan.chosen.network, 1, 3, 3)).items()}
    save_checkpoint(run.best, Checkpoint({"average": weights}, {}))
    save_plan(plan, run.plan)
    run.update_record(settings={}, status="finished", dataset="/data/Dataset007_Tiny", **record)
    content = {"plan": plan.model_dump(mode="json"), "split": {"train": ["a", "b"], "validation": ["c"]}}
    run.trained.write_text(json.dumps(content))
    return folder


def test_nnunet_gets_all_that_it_reads_and_the_import_gives_the_same_back(
    tiny_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    plan = tiny_plan(configuration={"mirror_axes": [1, 2]})
    run = make_run(tmp_path / "run", plan)
    done = export_model(run, "nnunet", output=tmp_path / "results")
    assert done.path == tmp_path / "results" / "Dataset007_Tiny" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    assert done.folds == ["0"]
    checkpoint = torch.load(done.path / "fold_0" / "checkpoint_final.pth", weights_only=True)
    assert checkpoint["trainer_name"] == "nnUNetTrainer"
    assert checkpoint["inference_allowed_mirroring_axes"] == (1, 2)
    assert checkpoint["init_args"]["configuration"] == "3d_fullres"
    network = build_network(plan.chosen.network, 1, 3, 3)
    assert checkpoint["network_weights"].keys() == network.state_dict().keys()
    description = json.loads((done.path / "dataset.json").read_text())
    assert (description["numTraining"], description["file_ending"]) == (2, ".nii.gz")
    (back,) = import_model(done.path, run=tmp_path / "back")
    expected = load_checkpoint(RunFolder(run).best).groups["average"]
    found = load_checkpoint(back.runs["0"].last).groups["network"]
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert back.plan.chosen.mirrored == (1, 2)


def test_folds_keep_their_names(tiny_plan: Callable[..., Plan], tmp_path: Path) -> None:
    for fold in ("0", "3"):
        make_run(tmp_path / "cv" / f"fold_{fold}", tiny_plan(), seed=int(fold))
    done = export_model(tmp_path / "cv", "nnunet")
    assert done.folds == ["0", "3"]
    assert done.path.is_relative_to(tmp_path / "cv" / "exported")
    assert sorted(path.name for path in done.path.glob("fold_*")) == ["fold_0", "fold_3"]
    assert export_model(tmp_path / "cv", "nnunet", folds=[3], output=tmp_path / "one").folds == ["3"]
    with pytest.raises(RunError, match="is there already"):
        export_model(tmp_path / "cv", "nnunet")


def test_the_mean_of_folds_is_one_file(tiny_plan: Callable[..., Plan], tmp_path: Path) -> None:
    for fold in ("0", "1"):
        make_run(tmp_path / "cv" / f"fold_{fold}", tiny_plan(), seed=int(fold))
    done = export_model(tmp_path / "cv", "torch-export")
    assert done.path == tmp_path / "cv" / "exported" / "model.pt2"
    patches = torch.randn(5, 1, 8, 8, 8)
    model = open_model(tmp_path / "cv", device=torch.device("cpu"))
    with torch.no_grad(), inferring(model.network):
        torch.testing.assert_close(torch.export.load(done.path).module()(patches), model.network(patches))


def test_what_cannot_be_exported_says_why(tiny_plan: Callable[..., Plan], tmp_path: Path) -> None:
    RunFolder(tmp_path / "detector").update_record(kind="instances", settings={})
    for form, why in (
        ("nnunet", "it has no detectors"),
        ("onnx", "depends on the image"),
        ("torch-export", "depends on the image"),
    ):
        with pytest.raises(RunError, match=why):
            export_model(tmp_path / "detector", form)
    own = make_run(tmp_path / "own", tiny_plan(), own_network=True)
    RunFolder(own).update_record(settings={"training.recipe": "mine:Recipe"})
    with pytest.raises(RunError, match=r"one of the recipe mine:Recipe, which nnU-Net cannot build.*--to onnx"):
        export_model(own, "nnunet")
    gaps = make_run(tmp_path / "gaps", tiny_plan(data={"classes": {"left": [1], "right": [7]}}))
    with pytest.raises(PlanError, match="without a gap"):
        export_model(gaps, "nnunet")
    assert not (gaps / "exported").exists()


def test_wishes_that_cannot_be_are_refused(tiny_plan: Callable[..., Plan], tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", tiny_plan())
    with pytest.raises(SettingsError, match="--to tflite: there is no such form; write nnunet, onnx, torch-export"):
        export_model(run, "tflite")
    with pytest.raises(SettingsError, match=r"name the file, ending in \.onnx"):
        export_model(run, "onnx", output=tmp_path / "folder")
    with pytest.raises(RunError, match="there is no such checkpoint"):
        export_model(run, "nnunet", checkpoint="last")
    with pytest.raises(RunError, match="is no run folder"):
        export_model(tmp_path / "nowhere", "nnunet")
