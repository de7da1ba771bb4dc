"""From a folder of labelled volumes to an evaluated model and a report, and what a second call does."""

from __future__ import annotations

import json
import os
import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest
import SimpleITK as sitk
import torch

import goodfit
from goodfit.errors import DatasetError, PlanError, RunError, SettingsError
from goodfit.observer import Observer
from goodfit.planning.plan import load_plan
from goodfit.training.checkpoint import load_checkpoint
from goodfit.training.metrics_log import read_rows

if TYPE_CHECKING:
    from pathlib import Path

    from goodfit.commands.fitting import TrainResult
    from goodfit.training.loop import Report

QUICK = {
    "budget.epochs": 3,
    "budget.steps_per_epoch": 4,
    "plan.batch_size": 2,
    "plan.patch_size": [8, 16, 16],
    "machine.device": "cpu",
}


class Listener(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.stages: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def stage(self, name: str) -> None:
        self.stages.append(name)


def test_a_run_folder_explains_itself(finished: TrainResult) -> None:
    run = finished.run
    assert finished.finished
    for file in (run.plan, run.splits, run.metrics, run.scores, run.report, run.best, run.last, run.stable, run.record):
        assert file.is_file(), file
    rows = read_rows(run.metrics)
    assert {"epoch", "step", "phase", "lr", "train_loss", "val_loss", "val_dice", "seconds"} <= rows[0].keys()
    assert {"val_dice_left", "val_dice_right"} <= rows[0].keys()
    assert int(rows[-1]["step"]) == 12
    split = json.loads(run.splits.read_text())
    assert len(list(run.predictions.glob("*.nii.gz"))) == len(split["test"]) == 2
    assert finished.scores is not None
    assert set(finished.scores.cases) == set(split["test"])
    assert run.read_record()["status"] == "finished"


def test_predictions_have_the_geometry_of_the_inputs(finished: TrainResult, boxes: Path) -> None:
    for file in finished.run.predictions.glob("*.nii.gz"):
        one = sitk.ReadImage(str(file))
        other = sitk.ReadImage(str(boxes / "labelsTr" / file.name))
        assert one.GetSize() == other.GetSize()
        assert one.GetSpacing() == pytest.approx(other.GetSpacing())
        assert one.GetOrigin() == pytest.approx(other.GetOrigin())
        assert one.GetDirection() == pytest.approx(other.GetDirection())


def test_a_second_call_does_nothing_again(finished: TrainResult, boxes: Path) -> None:
    before = finished.run.report.stat().st_mtime_ns
    listener = Listener()
    again = goodfit.train(boxes, run=finished.run.path, observer=listener)
    assert again.scores is not None
    assert finished.scores is not None
    assert again.scores.mean_dice == finished.scores.mean_dice
    assert finished.run.report.stat().st_mtime_ns == before
    assert any("this run is finished" in note for note in listener.notes)


def test_predict_and_evaluate_as_commands_of_their_own(finished: TrainResult, boxes: Path, tmp_path: Path) -> None:
    written = goodfit.predict(finished.run.path, boxes / "imagesTr", tmp_path / "out", device="cpu")
    assert len(written) == 10
    scores = goodfit.evaluate(tmp_path / "out", boxes / "labelsTr", json_file=tmp_path / "scores.json")
    assert len(scores.cases) == 10
    assert (tmp_path / "scores.json").is_file()
    for name in json.loads(finished.run.splits.read_text())["test"]:
        one, other = (
            sitk.GetArrayFromImage(sitk.ReadImage(str(f / f"{name}.nii.gz")))
            for f in (tmp_path / "out", finished.run.predictions)
        )
        assert (one == other).all()


def test_an_interrupted_run_goes_on_and_ends_as_if_nothing_had_happened(boxes: Path, tmp_path: Path) -> None:
    class Interrupting(Listener):
        def trained(self, report: Report) -> None:
            if report.progress.control.step == 6 and report.row is None:
                os.kill(os.getpid(), signal.SIGTERM)

    whole = goodfit.train(boxes, run=tmp_path / "whole", settings=QUICK)
    stopped = goodfit.train(boxes, run=tmp_path / "stopped", settings=QUICK, grace="60s", observer=Interrupting())
    assert not stopped.finished
    assert stopped.scores is None
    resumed = goodfit.train(boxes, run=tmp_path / "stopped")
    assert resumed.finished
    one, other = (load_checkpoint(result.run.last).groups["network"] for result in (whole, resumed))
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_a_recipe_and_a_hook_of_a_script_go_on_with_a_run_whose_options_override_them(
    boxes: Path, tmp_path: Path
) -> None:
    class Interrupting(goodfit.Hook):
        def after_step(self, context: goodfit.Context) -> None:
            if context.step == 3:
                os.kill(os.getpid(), signal.SIGTERM)

    class Other(goodfit.Recipe):
        epochs = 50
        learning_rate = 1e-4
        hooks = (goodfit.Hook,)

        def build_network(self, plan: Any, default: Any) -> torch.nn.Module:
            torch.manual_seed(99)
            return default()

    code = {"hooks": [Interrupting()], "recipe": Other}
    run = tmp_path / "run"
    assert not goodfit.train(boxes, run=run, settings=QUICK, grace="60s", **code).finished
    with pytest.raises(SettingsError, match="write module:Class"):
        goodfit.resume(run)
    assert goodfit.resume(run, **code).finished
    plan = load_plan(run / "plan.json")
    assert (plan.budget.epochs, plan.training.learning_rate) == (3, 1e-4)
    with pytest.raises(SettingsError, match=r"training\.recipe"):
        goodfit.predict(run, boxes / "imagesTr", tmp_path / "out", device="cpu")
    image = boxes / "imagesTr" / "case_00_0000.nii.gz"
    assert len(goodfit.predict(run, image, tmp_path / "out", device="cpu", recipe=Other)) == 1


def test_an_edited_plan_is_used_and_a_broken_one_refused(boxes: Path, tmp_path: Path) -> None:
    prepared = goodfit.plan(boxes, run=tmp_path / "run", settings=QUICK)
    content = json.loads(prepared.run.plan.read_text())
    chosen = content["configurations"][content["configuration"]]
    assert chosen["batch_size"] == 2
    for field, value, said in (
        ("patch_size", [0, 16, 16], "patch_size"),
        ("patch_size", [9, 16, 17], "patch_size"),
        ("batch_size", 0, "batch_size"),
        ("batchsize", 3, "batchsize"),
    ):
        broken = json.loads(json.dumps(content))
        broken["configurations"][content["configuration"]][field] = value
        prepared.run.plan.write_text(json.dumps(broken))
        with pytest.raises(PlanError, match=said):
            goodfit.train(boxes, run=tmp_path / "run")
    chosen["batch_size"] = 3
    prepared.run.plan.write_text(json.dumps(content))
    listener = Listener()
    goodfit.train(boxes, run=tmp_path / "run", observer=listener)
    assert load_plan(prepared.run.plan).chosen.batch_size == 3
    assert any("batch 3 x 4 steps" in note for note in listener.notes)


def test_an_edited_batch_that_cannot_fit_is_refused_with_the_number(boxes: Path, tmp_path: Path) -> None:
    prepared = goodfit.plan(boxes, run=tmp_path / "run", settings=QUICK)
    content = json.loads(prepared.run.plan.read_text())
    content["configurations"][content["configuration"]]["batch_size"] = 2_000_000
    prepared.run.plan.write_text(json.dumps(content))
    with pytest.raises(PlanError, match=r"batch.*GiB"):
        goodfit.train(boxes, run=tmp_path / "run")


def test_a_dataset_that_changed_since_the_plan_is_noticed(boxes: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(boxes, tmp_path / "Dataset001_Boxes")
    goodfit.plan(copy, run=tmp_path / "run", settings=QUICK)
    label = copy / "labelsTr" / "case_00.nii.gz"
    image = sitk.ReadImage(str(label))
    sitk.WriteImage(image * 0 + 1, str(label))
    with pytest.raises(PlanError, match="the dataset has changed"):
        goodfit.train(copy, run=tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"configuration": "4d"}, PlanError, "configuration"),
        ({"configuration": "3d_lowres"}, PlanError, "3d_lowres"),
        ({"time": "soon"}, SettingsError, "no duration"),
        ({"batch_size": 10**7, "configuration": "2d"}, PlanError, "batch"),
        ({"device": "cuda:9"}, SettingsError, "not there"),
        ({"patch_size": "0x16x16"}, PlanError, "patch_size"),
    ],
)
def test_impossible_wishes_are_refused_and_leave_nothing(
    boxes: Path, tmp_path: Path, options: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        goodfit.train(boxes, run=tmp_path / "run", **options)
    assert not (tmp_path / "run" / "plan.json").exists()


def test_a_broken_dataset_is_refused_with_its_first_problems(boxes: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(boxes, tmp_path / "Dataset001_Boxes")
    truncated = copy / "imagesTr" / "case_03_0000.nii.gz"
    truncated.write_bytes(truncated.read_bytes()[:2000])
    unknown = copy / "labelsTr" / "case_05.nii.gz"
    sitk.WriteImage(sitk.ReadImage(str(unknown)) * 7, str(unknown))
    result = goodfit.check(copy)
    assert {problem.case for problem in result.errors} == {"case_03", "case_05"}
    with pytest.raises(DatasetError, match=r"(?s)to be mended first.*case_03.*case_05"):
        goodfit.train(copy, run=tmp_path / "run")
    with pytest.raises(DatasetError, match="nowhere"):
        goodfit.train(tmp_path / "nowhere")


def test_a_run_in_use_is_refused(boxes: Path, tmp_path: Path) -> None:
    from goodfit.training.run_folder import locked

    goodfit.plan(boxes, run=tmp_path / "run", settings=QUICK)
    with locked(tmp_path / "run", "run"), pytest.raises(RunError, match="is working on this run"):
        goodfit.train(boxes, run=tmp_path / "run")


def test_fresh_beside_a_running_training_is_refused_and_harms_nothing(boxes: Path, tmp_path: Path) -> None:
    from goodfit.training.run_folder import locked

    goodfit.plan(boxes, run=tmp_path / "run", settings=QUICK)
    before = (tmp_path / "run" / "plan.json").read_bytes()
    with locked(tmp_path / "run", "run"), pytest.raises(RunError, match="is working on this run"):
        goodfit.train(boxes, run=tmp_path / "run", fresh=True)
    with pytest.raises(PlanError):
        goodfit.train(boxes, run=tmp_path / "run", fresh=True, configuration="3d_lowres")
    assert (tmp_path / "run" / "plan.json").read_bytes() == before


def test_a_mended_dataset_trains_in_the_folder_of_the_failed_call(boxes: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(boxes, tmp_path / "Dataset001_Boxes")
    label = copy / "labelsTr" / "case_05.nii.gz"
    good = label.read_bytes()
    sitk.WriteImage(sitk.ReadImage(str(label)) * 7, str(label))
    with pytest.raises(DatasetError, match="case_05"):
        goodfit.plan(copy, run=tmp_path / "run", settings=QUICK)
    label.write_bytes(good)
    assert goodfit.plan(copy, run=tmp_path / "run", settings=QUICK).run.plan.is_file()


def test_edits_after_the_training_neither_pass_nor_change_predictions(
    finished: TrainResult, boxes: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(finished.run.path, tmp_path / "run")
    plan = json.loads((run / "plan.json").read_text())
    plan["data"]["normalisation"] = ["none"]
    (run / "plan.json").write_text(json.dumps(plan))
    listener = Listener()
    goodfit.predict(run, boxes / "imagesTr", tmp_path / "out", device="cpu", observer=listener)
    assert any("data.normalisation edited" in note for note in listener.notes)
    for file in finished.run.predictions.glob("*.nii.gz"):
        same = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
        assert (sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / file.name))) == same).all()


def test_a_split_edited_in_the_middle_of_a_training_is_refused(boxes: Path, tmp_path: Path) -> None:
    class Interrupting(Listener):
        def trained(self, report: Report) -> None:
            if report.progress.control.step == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    goodfit.train(boxes, run=tmp_path / "run", settings=QUICK, grace="60s", observer=Interrupting())
    splits = json.loads((tmp_path / "run" / "splits.json").read_text())
    splits["train"][0], splits["test"][0] = splits["test"][0], splits["train"][0]
    (tmp_path / "run" / "splits.json").write_text(json.dumps(splits))
    with pytest.raises(RunError, match=r"splits\.train"):
        goodfit.train(boxes, run=tmp_path / "run")


def test_a_deleted_split_is_made_anew(boxes: Path, tmp_path: Path) -> None:
    prepared = goodfit.plan(boxes, run=tmp_path / "run", settings=QUICK)
    before = prepared.run.splits.read_bytes()
    prepared.run.splits.unlink()
    goodfit.plan(boxes, run=tmp_path / "run")
    assert prepared.run.splits.read_bytes() == before


def test_an_unknown_monitor_is_refused_before_training(boxes: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"monitor 'foo' is no column"):
        goodfit.train(boxes, run=tmp_path / "run", settings=QUICK, monitor="foo")
