"""The whole way of a cascade on a small dataset."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from goodfit.commands.cascade import INPUTS, share_previous_stage
from goodfit.commands.cross_validate import cross_validate
from goodfit.commands.extend import extend
from goodfit.commands.models import open_model
from goodfit.commands.places import PREVIOUS_STAGE
from goodfit.commands.predict import predict
from goodfit.commands.train import train
from goodfit.data.dataset import content_key, open_dataset
from goodfit.data.readers import read_image
from goodfit.data.splits import Split
from goodfit.errors import GoodfitError, PlanError, RunError, SettingsError
from goodfit.files import read_json
from goodfit.planning.lowres import plan_cascade
from goodfit.planning.plan import load_plan
from goodfit.tasks.segmentation.cascade.inputs import PreviousStageInputs
from goodfit.tasks.segmentation.cascade.stage import next_stage_labels
from goodfit.tasks.segmentation.model import Effort
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.planning.plan import Plan

CPU = torch.device("cpu")
SPLIT = Split(seed=0, source="by hand", train=["c0", "c1", "c2"], validation=["c3"], test=["c4"])
QUICK: dict[str, Any] = {"machine.device": "cpu", "training.validate_every": "2 epochs"}


@pytest.fixture
def plan(root: Path, tiny_plan: Callable[..., Plan]) -> Plan:
    """A cascade for the small dataset, of two steps."""
    base = tiny_plan(data={"key": content_key(open_dataset(root))}, budget={"epochs": 1, "steps_per_epoch": 2})
    fullres = base.chosen
    lowres = fullres.model_copy(update={"name": "3d_lowres", "spacing": [4.0, 2.0, 2.0]})
    both = {"3d_fullres": fullres, "3d_lowres": lowres, "3d_cascade_fullres": plan_cascade(fullres)}
    return base.model_copy(update={"configurations": both, "configuration": "3d_cascade_fullres"})


@pytest.fixture
def lowres(tmp_path: Path, plan: Plan, write_run: Callable[..., RunFolder]) -> Path:
    """A cross-validation of 3d_lowres: each of the five cases is left out by one fold."""
    first = plan.model_copy(update={"configuration": "3d_lowres"})
    for fold in range(5):
        write_run(tmp_path / "lowres" / f"fold_{fold}", fold, plan=first, test=(f"c{fold}",))
    return tmp_path / "lowres"


def trained(root: Path, tmp_path: Path, plan: Plan, lowres: Path, name: str = "run") -> RunFolder:
    settings = {**QUICK, "plan.previous_stage": str(lowres)}
    result = train(root, run=tmp_path / name, plan=plan, split=SPLIT, settings=settings)
    assert result.finished
    assert result.scores is not None
    return result.run


def test_the_second_stage_sees_what_the_first_says_of_unseen_cases(
    root: Path, tmp_path: Path, plan: Plan, lowres: Path
) -> None:
    run = trained(root, tmp_path, plan, lowres)
    inputs = PreviousStageInputs(run.path / PREVIOUS_STAGE / INPUTS)
    assert [inputs.has(f"c{case}") for case in range(5)] == [True, True, True, True, False]
    dataset = open_dataset(root)
    for number in (0, 3):
        model = open_model(lowres / f"fold_{number}", device=CPU)
        prepared = model.prepare(read_image(dataset.case(f"c{number}").images, 1))
        labels = np.asarray(inputs.labels(f"c{number}")[...])[0]
        expected = next_stage_labels(
            model.slabs(prepared, Effort()), prepared.properties, labels.shape, plan.data.labels
        )
        assert np.array_equal(labels, expected.numpy())


def test_the_run_holds_all_that_prediction_needs(root: Path, tmp_path: Path, plan: Plan, lowres: Path) -> None:
    run = trained(root, tmp_path, plan, lowres)
    lowres.rename(tmp_path / "gone")
    moved = run.path.rename(tmp_path / "moved")
    [file] = predict(moved, root / "imagesTr" / "c4_0000.nii.gz", tmp_path / "out", device="cpu")
    label = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
    assert label.shape == (10, 16, 14)
    # The first stage decides part of it: without its weights the outcome is another one.
    model = open_model(moved, device=CPU)
    assert model.previous is not None
    image = read_image([root / "imagesTr" / "c4_0000.nii.gz"], 1)
    prepared = model.prepare(image)
    with_it = torch.cat([slab.logits.clone() for slab in model.slabs(prepared, Effort())], 1)
    for parameter in model.previous.network.parameters():
        parameter.data.mul_(-1)
    without = torch.cat([slab.logits.clone() for slab in model.slabs(prepared, Effort())], 1)
    assert not torch.allclose(with_it, without)


def test_training_goes_on_and_is_extended_with_the_same_first_stage(
    root: Path, tmp_path: Path, plan: Plan, lowres: Path
) -> None:
    run = trained(root, tmp_path, plan, lowres)
    lowres.rename(tmp_path / "gone")
    again = train(root, run=run.path, settings={**QUICK, "plan.previous_stage": str(lowres)})
    assert again.finished
    longer = extend(run.path, epochs=2)
    assert longer.finished
    mine, theirs = (one.path / PREVIOUS_STAGE for one in (longer.run, run))
    assert sorted(file.name for file in (mine / INPUTS).iterdir()) == sorted(
        file.name for file in (theirs / INPUTS).iterdir()
    )
    assert (mine / "fold_0" / "checkpoints" / "best.safetensors").samefile(
        theirs / "fold_0" / "checkpoints" / "best.safetensors"
    )


def test_a_single_run_is_taken_with_a_warning(
    root: Path, tmp_path: Path, plan: Plan, write_run: Callable[..., RunFolder], listener: Any
) -> None:
    first = plan.model_copy(update={"configuration": "3d_lowres"})
    one = write_run(tmp_path / "one", 1, plan=first, test=("c4", "c3"))
    settings = {**QUICK, "plan.previous_stage": str(one.path)}
    result = train(root, run=tmp_path / "run", plan=plan, split=SPLIT, settings=settings, observer=listener)
    assert result.finished
    notes = " ".join(listener.notes)
    assert "has trained on 2 cases that it predicts (c1, c2)" in notes
    assert "has stopped on 1 case that it predicts (c0)" in notes


def test_networks_of_another_preprocessing_are_refused(
    root: Path, tmp_path: Path, plan: Plan, write_run: Callable[..., RunFolder]
) -> None:
    other = plan.configurations["3d_lowres"].model_copy(update={"spacing": [3.0, 3.0, 3.0]})
    first = plan.model_copy(
        update={"configuration": "3d_lowres", "configurations": {**plan.configurations, "3d_lowres": other}}
    )
    one = write_run(tmp_path / "one", 1, plan=first)
    for place, message in ((one.path, r"spacing \[3.0, 3.0, 3.0\]"), (tmp_path / "nothing", "this is no run folder")):
        with pytest.raises(GoodfitError, match=message) as caught:
            trained(root, tmp_path / "there", plan, place, place.name)
        assert isinstance(caught.value, PlanError | RunError)


def test_a_previous_stage_is_for_cascades_alone(root: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"plan\.previous_stage: 3d_fullres has no previous stage"):
        train(root, run=tmp_path / "run", settings={**QUICK, "plan.previous_stage": str(tmp_path)})


def test_a_small_dataset_has_no_cascade(root: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="there is no 3d_cascade_fullres"):
        train(root, run=tmp_path / "run", configuration="3d_cascade_fullres", settings=QUICK)


def test_sharing_nothing_is_nothing(tmp_path: Path) -> None:
    share_previous_stage(RunFolder(tmp_path / "a"), RunFolder(tmp_path / "b"))
    assert not (tmp_path / "b").exists()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Seven volumes that a patch for 8 MB sees a small part of."""
    folder = tmp_path / "Dataset002_Large"
    random, grid = np.random.default_rng(1), np.indices((40, 40, 40))
    for case in range(7):
        centre = random.uniform(15, 25, 3)[:, None, None, None]
        distance = np.sqrt(((grid - centre) ** 2).sum(0))
        label = (distance < 12).astype(np.uint8) + (distance < 5)
        image = random.normal(0, 10, label.shape) + 60.0 * label + 50
        for kind, array, ending in (("imagesTr", image.astype(np.float32), "_0000"), ("labelsTr", label, "")):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / kind / f"c{case}{ending}.nii.gz"))
    labels = {"background": 0, "organ": 1, "core": 2}
    description = {"channel_names": {"0": "MRI"}, "labels": labels, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


@pytest.mark.slow
def test_the_first_stage_is_trained_on_the_training_and_validation_cases(
    large: Path, tmp_path: Path, listener: Any
) -> None:
    settings = {
        **QUICK,
        "budget.epochs": 1,
        "budget.steps_per_epoch": 2,
        "plan.memory": "8MB",
        "plan.planner": "nnunet",
        "plan.batch_size": 2,
    }
    result = train(
        large, run=tmp_path / "run", configuration="3d_cascade_fullres", settings=settings, observer=listener
    )
    assert result.finished
    run = result.run
    folds = read_json(run.path / PREVIOUS_STAGE / "splits_final.json")
    split = Split.model_validate(read_json(run.splits))
    learned = {*split.train, *split.validation}
    assert len(folds) == 3
    assert {name for fold in folds for name in (*fold["train"], *fold["val"])} == learned
    assert sorted(name for fold in folds for name in fold["val"]) == sorted(learned)
    first = load_plan(run.path / PREVIOUS_STAGE / "plan.json")
    assert first.configuration == "3d_lowres"
    assert any("3 trainings of 3d_lowres" in note for note in listener.notes)
    assert not any("never scored" in note for note in listener.notes), "the test cases are left out on purpose"
    inputs = PreviousStageInputs(run.path / PREVIOUS_STAGE / INPUTS)
    assert all(inputs.has(name) for name in learned)
    assert not any(inputs.has(name) for name in split.test)
    # Everything lies in one cache, and nothing is done twice.
    assert not list((run.path / PREVIOUS_STAGE).rglob("cache"))
    before = {file: file.stat().st_mtime_ns for file in (run.path / PREVIOUS_STAGE).rglob("*.safetensors")}
    run.update_record(status="interrupted")
    assert train(large, run=run.path, configuration="3d_cascade_fullres", settings=settings).finished
    assert before == {file: file.stat().st_mtime_ns for file in (run.path / PREVIOUS_STAGE).rglob("*.safetensors")}


@pytest.mark.slow
def test_a_cascade_is_cross_validated_after_its_first_stage(large: Path, tmp_path: Path) -> None:
    settings = {
        **QUICK,
        "budget.epochs": 1,
        "budget.steps_per_epoch": 1,
        "plan.memory": "8MB",
        "plan.planner": "nnunet",
        "plan.batch_size": 2,
    }
    with pytest.raises(SettingsError, match=r"cross-validate its first stage before it, with -c 3d_lowres"):
        cross_validate(large, run=tmp_path / "no", configuration="3d_cascade_fullres", settings=settings)
    first = cross_validate(large, run=tmp_path / "lowres", configuration="3d_lowres", settings=settings)
    second = cross_validate(
        large,
        run=tmp_path / "cascade",
        configuration="3d_cascade_fullres",
        previous_stage=str(first.folder),
        settings=settings,
        folds=[0, 1],
    )
    assert second.finished
    # The cases that a fold is scored on were predicted by that fold of the first stage alone, which has not seen them.
    for fold in ("0", "1"):
        run = second.runs[fold]
        assert len(list((run.path / PREVIOUS_STAGE).glob("fold_*"))) == 5
        assert read_json(run.trained)["split"]["test"] == read_json(first.runs[fold].trained)["split"]["test"]
    # Of new cases all five say something, each once.
    model = open_model(second.folder, folds=[0, 1], device=CPU)
    assert model.previous is not None
    assert len(next(iter(model.previous.network.children()))) == 5
