"""Planning: what is written, what is kept on a second call, and what is refused."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import SimpleITK as sitk

from goodfit.commands.plan import aim, plan, prepare, refuse_broken
from goodfit.data.checks import CheckResult
from goodfit.data.dataset import open_dataset
from goodfit.data.problems import Problem
from goodfit.errors import DatasetError, PlanError, RunError, SettingsError, SplitError
from goodfit.planning.plan import load_plan, save_plan
from goodfit.training.run_folder import RunFolder, locked

if TYPE_CHECKING:
    from pathlib import Path

    from goodfit.observer import Observer
    from goodfit.planning.plan import Plan
    from goodfit.settings import Settings


class Measuring:
    """Stands for the measurement of this machine; remembers whether it was asked to refit."""

    def __init__(self) -> None:
        self.refits: list[bool] = []

    def __call__(
        self,
        plan: Plan,
        settings: Settings,
        spent: float,
        observer: Observer,
        *,
        refit: bool,
        cases: int,
        cache: Path | None,
    ) -> Plan:
        assert spent >= 0
        assert cases == 5
        self.refits.append(refit)
        return plan.model_copy(update={"predicted_memory": 1e6 * len(self.refits)})


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> Measuring:
    stand_in = Measuring()
    monkeypatch.setattr("goodfit.commands.measure.measure_plan", stand_in)
    return stand_in


def edit(run: RunFolder, *place: str, value: Any) -> None:
    content = json.loads(run.plan.read_text())
    section = content
    for name in place[:-1]:
        section = section[name]
    section[place[-1]] = value
    run.plan.write_text(json.dumps(content))


def test_a_first_call_writes_plan_split_and_record(root: Path, tmp_path: Path, measuring: Measuring) -> None:
    prepared = plan(root, run=tmp_path / "run", batch_size=3, settings={"training.seed": "5"})
    run = prepared.run
    assert run.path == tmp_path / "run"
    assert load_plan(run.plan) == prepared.plan
    assert prepared.plan.chosen.batch_size == 3
    assert prepared.plan.training.seed == 5
    assert prepared.plan.predicted_memory == 1e6
    split = prepared.split
    assert sorted(split.train + split.validation + split.test) == ["c0", "c1", "c2", "c3", "c4"]
    assert json.loads(run.splits.read_text())["test"] == split.test
    record = run.read_record()
    assert record["settings"] == {"plan.batch_size": 3, "training.seed": 5}
    assert record["dataset"] == str(root.resolve())
    assert (record["status"], record["spent_seconds"]) == ("planned", 0.0)
    assert record["measured"]
    assert measuring.refits == [True]


def test_a_second_call_keeps_everything(root: Path, tmp_path: Path, measuring: Measuring, listener: Any) -> None:
    first = plan(root, run=tmp_path / "run", epochs=7)
    written = first.run.plan.stat().st_mtime_ns
    again = plan(root, run=tmp_path / "run", observer=listener)
    assert again.plan == first.plan
    assert again.split == first.split
    assert again.settings == first.settings
    assert again.settings.budget.epochs == 7
    assert first.run.plan.stat().st_mtime_ns == written
    assert measuring.refits == [True]
    assert listener.stages == []
    assert any("as they are in" in note for note in listener.notes)


def test_an_edit_that_costs_memory_is_measured_again_but_kept(root: Path, tmp_path: Path, measuring: Measuring) -> None:
    run = plan(root, run=tmp_path / "run").run
    edit(run, "configurations", "3d_fullres", "batch_size", value=5)
    again = plan(root, run=run.path)
    assert again.plan.chosen.batch_size == 5
    assert measuring.refits == [True, False]
    assert load_plan(run.plan).predicted_memory == 2e6
    plan(root, run=run.path)
    assert len(measuring.refits) == 2


def test_an_edit_that_costs_nothing_is_not_measured_again(root: Path, tmp_path: Path, measuring: Measuring) -> None:
    run = plan(root, run=tmp_path / "run").run
    edit(run, "training", "patience", value=3)
    edit(run, "reasons", "configuration", value="said by hand")
    assert plan(root, run=run.path).plan.training.patience == 3
    assert measuring.refits == [True]


def test_a_plan_that_was_not_measured_is_fitted_later(root: Path, tmp_path: Path, measuring: Measuring) -> None:
    target = aim(root, tmp_path / "run", fresh=False, settings=None, time="10m")
    from goodfit.observer import Observer

    assert prepare(target, Observer(), measure=False, started=0.0).plan.predicted_memory is None
    assert not target.run.read_record()["measured"]
    assert measuring.refits == []
    assert plan(root, run=tmp_path / "run").plan.predicted_memory == 1e6
    assert measuring.refits == [True]


def test_a_changed_dataset_makes_the_plan_stale(root: Path, tmp_path: Path, measuring: Measuring) -> None:
    run = plan(root, run=tmp_path / "run").run
    image = root / "imagesTr" / "c1_0000.nii.gz"
    sitk.WriteImage(sitk.ReadImage(str(image)) + 1, str(image))
    with pytest.raises(PlanError, match="dataset has changed since this plan was made"):
        plan(root, run=run.path)
    fresh = plan(root, run=run.path, fresh=True)
    assert fresh.plan.data.key != json.loads(next(tmp_path.glob("run-before-*/plan.json")).read_text())["data"]["key"]


def test_a_dataset_that_moved_is_known_by_its_content(root: Path, tmp_path: Path, measuring: Measuring) -> None:
    planned = plan(root, run=tmp_path / "run")
    elsewhere = shutil.copytree(root, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    assert plan(elsewhere, run=planned.run.path).plan == planned.plan
    assert planned.run.read_record()["dataset"] == str(elsewhere)
    (elsewhere / "imagesTr" / "c1_0000.nii.gz").write_bytes((root / "imagesTr" / "c2_0000.nii.gz").read_bytes())
    shutil.rmtree(root)
    other = elsewhere.rename(tmp_path / "other")
    with pytest.raises(PlanError, match=r"plan is of the dataset .*elsewhere, and .*other has another content"):
        plan(other, run=planned.run.path)


def test_an_impossible_edit_is_named(root: Path, tmp_path: Path, measuring: Measuring) -> None:
    run = plan(root, run=tmp_path / "run").run
    edit(run, "training", "learning_rate", value="fast")
    with pytest.raises(PlanError, match=r"plan\.json.*\n.*training\.learning_rate"):
        plan(root, run=run.path)


def test_nothing_is_written_for_a_wrong_setting(root: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such option"):
        plan(root, run=tmp_path / "run", batchsize=3)
    with pytest.raises(DatasetError, match="no such folder"):
        plan(tmp_path / "nowhere", run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_in_use_is_left_alone(root: Path, tmp_path: Path, measuring: Measuring) -> None:
    with locked(tmp_path / "run", "run"), pytest.raises(RunError):
        plan(root, run=tmp_path / "run")
    assert measuring.refits == []


def test_a_broken_file_stops_the_planning(root: Path, tmp_path: Path, measuring: Measuring) -> None:
    (root / "imagesTr" / "c2_0000.nii.gz").write_bytes(b"broken")
    with pytest.raises(DatasetError, match=r"1 problem to be mended first.*\n.*c2"):
        plan(root, run=tmp_path / "run")
    assert not (tmp_path / "run" / "plan.json").exists()


def test_the_first_five_errors_are_shown_and_the_others_counted(root: Path) -> None:
    dataset = open_dataset(root)

    def result(errors: int, warnings: int) -> CheckResult:
        rows = [Problem("error", f"case_{index}", "", f"Wrong {index}.", "Mend it.") for index in range(errors)]
        rows += [Problem("warning", "", "a_file", "Odd.", "Look.")] * warnings
        return CheckResult(problems=rows, cases_checked=9, voxels={})

    refuse_broken(dataset, result(0, 3))
    with pytest.raises(DatasetError) as caught:
        refuse_broken(dataset, result(7, 1))
    message = str(caught.value)
    assert message.count("Wrong") == 5
    assert message.endswith("... and 2 more")
    assert "7 problems" in message
    assert "Odd" not in message
    with pytest.raises(DatasetError) as few:
        refuse_broken(dataset, result(5, 0))
    assert "more" not in str(few.value)


def test_an_edited_plan_survives_saving(root: Path, tmp_path: Path, measuring: Measuring) -> None:
    prepared = plan(root, run=tmp_path / "run")
    save_plan(prepared.plan, tmp_path / "copy.json")
    assert load_plan(tmp_path / "copy.json") == load_plan(prepared.run.plan)


def test_a_split_and_a_plan_that_are_handed_in_are_used(root: Path, tmp_path: Path, measuring: Measuring) -> None:
    made = plan(root, run=tmp_path / "made")
    mine = made.split.model_copy(update={"train": ["c0", "c1", "c2"], "validation": ["c3"], "test": ["c4"]})
    theirs = made.plan.model_copy(update={"budget": made.plan.budget.model_copy(update={"epochs": 9})})
    run = tmp_path / "run"
    first = plan(root, run=run, split=mine, plan=theirs)
    assert (first.split, first.plan) == (mine, theirs)
    assert load_plan(first.run.plan) == theirs
    assert json.loads(first.run.splits.read_text())["test"] == ["c4"]
    assert measuring.refits == [True], "only the first plan was measured"
    longer = theirs.model_copy(update={"budget": theirs.budget.model_copy(update={"epochs": 10})})
    assert plan(root, run=run, split=mine, plan=longer).plan == load_plan(first.run.plan) == longer
    assert plan(root, run=run).plan == longer
    assert measuring.refits == [True]
    first.run.splits.unlink()
    assert plan(root, run=run, split=mine, plan=longer).split == mine


def test_a_run_does_not_go_on_with_another_split(root: Path, tmp_path: Path, measuring: Measuring) -> None:
    made = plan(root, run=tmp_path / "run")
    train, validation = [*made.split.train[1:], *made.split.validation], made.split.train[:1]
    other = made.split.model_copy(update={"train": train, "validation": validation})
    with pytest.raises(SplitError, match=r"splits\.json: holds other sets"):
        plan(root, run=made.run.path, split=other)


def test_a_plan_of_another_dataset_is_refused(root: Path, tmp_path: Path, measuring: Measuring) -> None:
    made = plan(root, run=tmp_path / "made").plan
    foreign = made.model_copy(update={"data": made.data.model_copy(update={"key": "other"})})
    with pytest.raises(PlanError, match="dataset has changed"):
        plan(root, run=tmp_path / "run", plan=foreign)
