"""Trainings on instances through the commands: counts of validations, going on, extending, recipes."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

import goodfit
from goodfit.commands.instances.detector import load_detector
from goodfit.data.instances.dataset import open_instances
from goodfit.data.splits import Split
from goodfit.errors import PlanError, RunError, SettingsError
from goodfit.planning.instances.plan import load_instance_plan
from goodfit.tasks.instances.scores import InstanceScores, load_instance_scores
from goodfit.training.checkpoint import load_checkpoint
from goodfit.training.metrics_log import read_rows
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.commands.fitting import TrainResult
    from goodfit.planning.instances.plan import InstanceAugmentation, InstancePlan
    from goodfit.planning.plan import Plan


class Watcher(goodfit.Hook):
    """Counts what it is told."""

    def __init__(self) -> None:
        self.validations: list[int] = []

    def after_validation(self, context: goodfit.Context) -> None:
        self.validations.append(context.step)


def test_every_command_takes_a_run_on_instances(
    frames: Path, finished: TrainResult, tmp_path: Path, listener: Any
) -> None:
    run = finished.run
    assert finished.finished
    assert isinstance(finished.scores, InstanceScores)
    assert load_instance_scores(run.scores).frames == 3
    again = goodfit.train(frames, run=run.path, observer=listener)
    assert (again.finished, again.scores) == (True, finished.scores)
    assert goodfit.resume(run.path).scores == finished.scores
    assert goodfit.report(run.path).read_text().startswith("<!doctype html>")
    scores = goodfit.evaluate(
        run.predictions / "test.json", run.predictions / "test_reference.json", json_file=tmp_path / "scores.json"
    )
    assert isinstance(scores, InstanceScores)
    assert scores.kinds.keys() == finished.scores.kinds.keys()
    assert scores.numbers.ap == pytest.approx(finished.scores.numbers.ap, nan_ok=True)
    with pytest.raises(RunError, match=r"nobody is training here \(status: finished\)"):
        goodfit.stop(run.path)


def test_an_edit_after_the_training_is_without_effect_and_said(
    frames: Path, finished: TrainResult, listener: Any
) -> None:
    plan = json.loads(finished.run.plan.read_text())
    finished.run.plan.write_text(json.dumps({**plan, "batch_size": 7}))
    try:
        goodfit.train(frames, run=finished.run.path, observer=listener)
    finally:
        finished.run.plan.write_text(json.dumps(plan))
    assert any("batch_size edited after the training: without effect on this run" in note for note in listener.notes)


def test_extending_goes_on_from_the_state_before_the_cooldown(finished: TrainResult, tmp_path: Path) -> None:
    before = finished.run.last.read_bytes()
    longer = goodfit.extend(finished.run.path, epochs=4, to=tmp_path / "longer")
    assert longer.finished
    assert isinstance(longer.scores, InstanceScores)
    steps = [int(row["step"]) for row in read_rows(longer.run.metrics)]
    assert steps[0] == 2
    assert steps == sorted(set(steps))
    assert 4 < steps[-1] <= 8
    assert load_instance_plan(longer.run.plan).budget.epochs == 4
    assert finished.run.last.read_bytes() == before
    with pytest.raises(SettingsError, match="has done 1 epochs before its cooldown"):
        goodfit.extend(finished.run.path, epochs=1, to=tmp_path / "shorter")


def test_sixty_steps_with_a_period_of_ten_are_six_validations(
    frames: Path, tmp_path: Path, quick: dict[str, Any]
) -> None:
    hook = Watcher()
    settings = {**quick, "budget.epochs": 4, "budget.steps_per_epoch": 15, "plan.batch_size": 1}
    run = goodfit.train(
        frames, run=tmp_path / "run", settings=settings, hooks=[hook], validate_every="10steps", patience=0
    ).run
    rows = [row for row in read_rows(run.metrics) if row["val_loss"]]
    assert [int(row["step"]) for row in rows] == hook.validations == [10, 20, 30, 40, 50, 60]
    assert all(row["val_ap"] and row["val_loss_mask"] and row["train_eval_loss"] for row in rows)
    assert int(read_rows(run.metrics)[-1]["step"]) == 60


def test_without_time_for_all_frames_a_fixed_subset_is_measured_and_said(
    frames: Path, tmp_path: Path, quick: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    settings = {**quick, "training.validation_share": 1e-6, "budget.epochs": 7, "budget.steps_per_epoch": 1}
    with caplog.at_level(logging.WARNING, logger="goodfit"):
        run = goodfit.train(frames, run=tmp_path / "run", settings=settings).run
    (said,) = [record.message for record in caplog.records if "fixed subset" in record.message]
    assert said.startswith("the metric uses a fixed subset of 1 of 3 cases, at every 5th validation")
    rows = read_rows(run.metrics)
    assert all(row["val_loss"] for row in rows), "the loss is cheap and measured every time"
    assert [int(row["step"]) for row in rows if row["val_ap"]] == [1, 6, 7]


def test_a_plan_of_another_kind_is_refused(frames: Path, tmp_path: Path, tiny_plan: Callable[..., Plan]) -> None:
    with pytest.raises(PlanError, match="is one of a segmentation"):
        goodfit.train(frames, run=tmp_path / "run", plan=tiny_plan())


def test_a_split_and_a_plan_that_are_handed_in_are_used_as_they_are(
    frames: Path, finished: TrainResult, tmp_path: Path, listener: Any
) -> None:
    dataset = open_instances(frames)
    groups = list(dataset.groups().values())
    names = [[frame.name for frame in group] for group in groups]
    split = Split(seed=0, source="by hand", train=[*names[0], *names[1]], validation=names[2], test=names[3])
    plan = load_instance_plan(finished.run.plan)
    wishes = {"machine.device": "cpu"}
    result = goodfit.train(frames, run=tmp_path / "run", split=split, plan=plan, settings=wishes, observer=listener)
    assert load_instance_plan(result.run.plan) == plan
    assert Split.model_validate(json.loads(result.run.splits.read_text())) == split
    assert "measure this machine" not in listener.stages


def test_weights_that_are_not_to_be_had_are_told_before_the_long_work(
    frames: Path, tmp_path: Path, quick: dict[str, Any], listener: Any
) -> None:
    wishes = {**quick, "model.weights": str(tmp_path / "none.pth")}
    with pytest.raises(PlanError, match="nor a file that exists"):
        goodfit.train(frames, run=tmp_path / "run", settings=wishes, observer=listener)
    assert listener.stages == ["check"]


def test_weights_of_another_run_take_the_place_of_the_plans(
    frames: Path, finished: TrainResult, tmp_path: Path, quick: dict[str, Any], listener: Any
) -> None:
    norm = load_instance_plan(finished.run.plan).model.normalisation
    wishes = {
        **quick,
        "model.weights": str(tmp_path / "none.pth"),
        "model.normalisation": norm,
        "training.initialise_from": str(finished.run.path),
    }
    result = goodfit.train(frames, run=tmp_path / "run", settings=wishes, observer=listener)
    assert result.finished
    assert any("none.pth weights are not loaded" in note for note in listener.notes)
    assert "100% of the network's" in "".join(listener.notes)


class Shifted(nn.Module):
    """Weighs the mask by a tenth."""

    def forward(self, parts: dict[str, torch.Tensor]) -> torch.Tensor:
        return parts["mask"] / 10 + sum(value for name, value in parts.items() if name != "mask")


class Brisk(goodfit.Recipe):
    """Overrides what people override."""

    epochs = 1
    steps_per_epoch = 2
    learning_rate = 3e-4

    def build_network(self, plan: InstancePlan, default: Callable[[], nn.Module]) -> nn.Module:
        network = default()
        network.register_buffer("mine", torch.ones(3))
        return network

    def build_loss(self, plan: InstancePlan, default: Callable[[], nn.Module]) -> nn.Module:
        assert isinstance(default(), nn.Module)
        return Shifted()

    def build_optimizer(
        self, network: nn.Module, plan: InstancePlan, default: Callable[[], torch.optim.Optimizer]
    ) -> torch.optim.Optimizer:
        return torch.optim.RAdam(network.parameters(), lr=plan.training.learning_rate)

    def build_augmentation(
        self, plan: InstancePlan, default: Callable[[], InstanceAugmentation]
    ) -> InstanceAugmentation | None:
        return default().model_copy(update={"flip_horizontal": 0.0})


def test_every_method_of_a_recipe_acts(frames: Path, tmp_path: Path, quick: dict[str, Any]) -> None:
    settings = {name: value for name, value in quick.items() if not name.startswith("budget.")}
    run = goodfit.train(frames, run=tmp_path / "run", settings=settings, recipe=Brisk).run
    (row,) = read_rows(run.metrics)
    assert int(row["step"]) == 2
    plan = load_instance_plan(run.plan)
    assert (plan.budget.epochs, plan.training.learning_rate) == (1, 3e-4)
    parts = {name: float(row[f"val_loss_{name}"]) for name in ("rpn_objectness", "rpn_box", "class", "box", "mask")}
    assert float(row["val_loss"]) == pytest.approx(sum(parts.values()) - 0.9 * parts["mask"], abs=1e-3)
    checkpoint = load_checkpoint(run.last)
    assert "mine" in checkpoint.groups["network"]
    network, _ = load_detector(run, "best", torch.device("cpu"), Brisk())
    assert torch.equal(network.get_buffer("mine"), torch.ones(3))
    with pytest.raises(RunError):
        load_detector(run, "best", torch.device("cpu"), goodfit.Recipe())


class NoDetector(goodfit.Recipe):
    def build_network(self, plan: InstancePlan, default: Callable[[], nn.Module]) -> nn.Module:
        return nn.Linear(2, 2)


class NoAugmentation(goodfit.Recipe):
    def build_augmentation(self, plan: InstancePlan, default: Callable[[], Any]) -> Any:
        return {"flip": 0.5}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (NoDetector, r"NoDetector\.build_network: the network has no rpn and no roi_heads"),
        (NoAugmentation, r"NoAugmentation\.build_augmentation: gives dict\. Of instances, give InstanceAugmentation"),
    ],
)
def test_what_a_recipe_makes_wrong_is_refused_by_the_name_of_the_method(
    frames: Path, tmp_path: Path, quick: dict[str, Any], recipe: type[goodfit.Recipe], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        goodfit.train(frames, run=tmp_path / "run", settings=quick, recipe=recipe)


def test_a_run_remembers_its_folder_of_frames(finished: TrainResult) -> None:
    record = RunFolder(finished.run.path).read_record()
    assert record["kind"] == "instances"
    assert record["frames"].endswith("64x96")
    assert record["status"] == "finished"
