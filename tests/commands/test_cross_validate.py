"""Cross-validation: folds in turn with one plan, going on where it stopped, time, marks."""

from __future__ import annotations

import importlib
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from goodfit.commands.cross.folder import CrossFolder
from goodfit.commands.plan import aim, prepare
from goodfit.commands.predict import predict
from goodfit.commands.report import report
from goodfit.commands.trained import remember
from goodfit.errors import PlanError, RunError, SettingsError, SplitError
from goodfit.planning.plan import load_plan
from goodfit.tasks.segmentation.evaluation import load_scores
from goodfit.tasks.segmentation.metrics import ClassMetrics
from goodfit.tasks.segmentation.scores import OPTIMISTIC, gather, save_scores

if TYPE_CHECKING:
    from pathlib import Path

    from goodfit.data.splits import Split
    from goodfit.observer import Observer
    from goodfit.planning.plan import Plan
    from goodfit.settings import Settings

module = importlib.import_module("goodfit.commands.cross_validate")
cross_validate = module.cross_validate
NNUNET_5 = [["c0"], ["c4"], ["c3"], ["c1"], ["c2"]]
QUICK: dict[str, Any] = {
    "budget.epochs": 1,
    "budget.steps_per_epoch": 2,
    "plan.batch_size": 2,
    "plan.patch_size": [8, 16, 16],
    "machine.device": "cpu",
}


class Training:
    """Stands for ``train``: makes a finished run with perfect scores, or fails as told.

    Attributes:
        calls: name of the fold, its split and its plan, for each call.
        interrupts: names of folds at which the next call is interrupted.
        signalled: names of folds that a signal ends early.
        seconds: that each call takes, as its record says.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, Split, Plan]] = []
        self.settings: list[dict[str, Any]] = []
        self.interrupts: list[str] = []
        self.signalled: list[str] = []
        self.seconds = 0.0

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.calls]

    def __call__(
        self,
        dataset: Path,
        *,
        run: Path,
        settings: dict[str, Any],
        recipe: type[Any] | None,
        observer: Observer,
        split: Split,
        plan: Plan,
    ) -> Any:
        target = aim(dataset, run, fresh=False, settings=settings, split=split, plan=plan)
        prepared = prepare(target, observer, measure=True, started=0.0)
        folder = prepared.run
        name = folder.path.name.removeprefix("fold_")
        self.calls.append((name, prepared.split, prepared.plan))
        self.settings.append(settings)
        if not folder.trained.is_file():
            remember(folder, prepared.plan, prepared.split)
        spent = folder.read_record()["spent_seconds"] + self.seconds
        if name in self.interrupts:
            self.interrupts.remove(name)
            folder.update_record(status="interrupted", spent_seconds=spent)
            return SimpleNamespace(finished=False, scores=None)
        if name in self.signalled:
            event = {"epoch": 1, "step": 2, "phase": "cooldown", "reason": "epoch 1: SIGINT received: no cooldown"}
            folder.events.write_text(json.dumps([event]))
        metrics = ClassMetrics(
            dice=1.0,
            iou=1.0,
            hd95=0.0,
            surface_dice=1.0,
            reference_volume=1.0,
            prediction_volume=1.0,
            volume_difference=0.0,
        )
        if split.test:
            scores = gather(
                {case: {"left": metrics, "right": metrics} for case in split.test},
                ["left", "right"],
                set_name="test",
                optimistic=split.optimistic,
                tolerance=1.0,
                distance_unit="mm",
                volume_unit="ml",
                spacing_known=True,
            )
            save_scores(scores, folder.scores)
        folder.report.write_text("a page")
        folder.update_record(status="finished", spent_seconds=spent)
        return SimpleNamespace(finished=True)


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Training:
    stand_in = Training()
    monkeypatch.setattr(module, "train", stand_in)
    return stand_in


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float | None, bool]]:
    """Stand for the measurement of this machine: the time of the plan and whether it was to be fitted to it."""
    calls: list[tuple[float | None, bool]] = []

    def measure(
        plan: Plan,
        settings: Settings,
        spent: float,
        observer: Observer,
        *,
        refit: bool,
        cases: int,
        cache: Path | None,
    ) -> Plan:
        assert cases == 5
        calls.append((plan.budget.time, refit))
        return plan

    monkeypatch.setattr("goodfit.commands.cross.segmentation.measure_plan", measure)
    monkeypatch.setattr("goodfit.commands.measure.measure_plan", lambda *_, **__: pytest.fail("folds measure nothing"))
    return calls


@pytest.fixture
def cv(tmp_path: Path, training: Training, measured: list[Any]) -> CrossFolder:
    return CrossFolder(tmp_path / "cv")


def test_each_fold_is_trained_with_one_plan_and_scored_by_a_model_that_has_not_seen_it(
    root: Path, cv: CrossFolder, training: Training, measured: list[Any], listener: Any
) -> None:
    result = cross_validate(root, run=cv.path, settings=QUICK, observer=listener)
    assert result.finished
    assert training.names == ["0", "1", "2", "3", "4"]
    assert [split.test for _, split, _ in training.calls] == NNUNET_5
    for _, split, plan in training.calls:
        assert sorted([*split.train, *split.validation, *split.test]) == ["c0", "c1", "c2", "c3", "c4"]
        assert not split.optimistic
        assert plan == load_plan(cv.plan)
    assert [fold["val"] for fold in json.loads(cv.splits.read_text())] == NNUNET_5
    assert measured == [(None, True)], "once for all folds"
    assert (cv.path / "cache" / "fingerprint.json").is_file()
    assert not (cv.path / "fold_0" / "cache").exists()
    assert any(note.startswith("folds: nnU-Net's folds") for note in listener.notes)


def test_scores_are_put_together(root: Path, cv: CrossFolder) -> None:
    result = cross_validate(root, run=cv.path, settings=QUICK)
    assert list(result.fold_scores) == list(result.runs) == ["0", "1", "2", "3", "4"]
    assert result.scores is not None
    assert list(result.scores.cases) == ["c0", "c1", "c2", "c3", "c4"]
    assert (result.over_folds.folds, result.over_folds.mean["dice"].mean) == (5, 1.0)
    assert load_scores(cv.scores) == result.scores
    assert len(cv.scores.with_suffix(".csv").read_text().splitlines()) == 11
    record = cv.read()
    assert record.finished
    assert not record.optimistic
    assert record.over_folds == result.over_folds
    assert [entry.status for entry in record.folds.values()] == ["finished"] * 5
    first = record.folds["0"]
    assert (first.run, first.train, first.validation, first.test) == ("fold_0", 3, 1, 1)
    assert first.mean["dice"] == 1.0
    assert first.classes["left"]["surface_dice"] == 1.0
    page = result.report.read_text()
    assert all(f'href="fold_{fold}/report.html"' in page for fold in range(5))
    assert OPTIMISTIC not in page


def test_an_interrupted_one_goes_on_in_the_same_fold(root: Path, cv: CrossFolder, training: Training) -> None:
    training.interrupts = ["1"]
    first = cross_validate(root, run=cv.path, settings=QUICK)
    assert not first.finished
    assert training.names == ["0", "1"]
    assert [entry.status for entry in cv.read().folds.values()] == ["finished", "interrupted", *["waiting"] * 3]
    assert "interrupted" in first.report.read_text()
    assert list(first.fold_scores) == ["0"]
    split = training.calls[1][1]
    second = cross_validate(root, run=cv.path)
    assert second.finished
    assert training.names == ["0", "1", "1", "2", "3", "4"]
    assert training.calls[2][1] == split
    assert len(second.fold_scores) == 5


def test_a_fold_that_a_signal_ended_early_is_scored_and_the_last_for_now(
    root: Path, cv: CrossFolder, training: Training, listener: Any
) -> None:
    training.signalled = ["1"]
    first = cross_validate(root, run=cv.path, settings=QUICK, observer=listener)
    assert not first.finished
    assert list(first.fold_scores) == ["0", "1"]
    assert "fold 1 ended early, as asked, and is scored" in listener.notes
    assert cross_validate(root, run=cv.path).finished
    assert training.names == ["0", "1", "2", "3", "4"]


def test_a_signal_in_the_last_fold_leaves_nothing_to_do(root: Path, cv: CrossFolder, training: Training) -> None:
    training.signalled = ["4"]
    assert cross_validate(root, run=cv.path, settings=QUICK).finished


def test_an_extension_of_a_fold_is_no_fold(root: Path, cv: CrossFolder) -> None:
    first = cross_validate(root, run=cv.path, settings=QUICK)
    extended = cv.fold("0-extended")
    extended.update_record(**cv.fold("0").read_record())
    save_scores(first.fold_scores["1"], extended.scores)
    assert list(cross_validate(root, run=cv.path).fold_scores) == ["0", "1", "2", "3", "4"]


def test_an_error_in_a_fold_leaves_the_record_true(
    root: Path, cv: CrossFolder, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, run: Path, **__: Any) -> None:
        CrossFolder(run.parent).fold("0").update_record(status="training", spent_seconds=0.0)
        raise RunError("the loss is not finite")

    monkeypatch.setattr(module, "train", fail)
    with pytest.raises(RunError, match="not finite"):
        cross_validate(root, run=cv.path, settings=QUICK)
    assert cv.read().folds["0"].status == "training"
    assert not cv.read().finished


def test_a_finished_one_is_only_read(root: Path, cv: CrossFolder, training: Training, listener: Any) -> None:
    first = cross_validate(root, run=cv.path, settings=QUICK)
    again = cross_validate(root, run=cv.path, observer=listener)
    assert len(training.calls) == 5
    assert (again.finished, again.scores) == (True, first.scores)
    assert "fold 4: finished before" in listener.notes


def test_folds_can_be_trained_in_several_calls(root: Path, cv: CrossFolder, training: Training) -> None:
    first = cross_validate(root, run=cv.path, settings=QUICK, folds=[3, "1"])
    assert training.names == ["3", "1"]
    assert first.finished
    assert not cv.read().finished
    assert sorted(first.fold_scores) == ["1", "3"]
    cross_validate(root, run=cv.path)
    assert training.names == ["3", "1", "0", "2", "4"]
    assert cv.read().finished


@pytest.mark.parametrize("folds", [[5], ["-1"], ["most"], []])
def test_folds_that_are_not_there_are_refused(
    root: Path, cv: CrossFolder, training: Training, folds: list[Any]
) -> None:
    with pytest.raises(SettingsError, match="There are 0, 1, 2, 3, 4 and all"):
        cross_validate(root, run=cv.path, settings=QUICK, folds=folds)
    assert training.calls == []
    assert not cv.record.exists()


def test_training_on_all_cases_is_not_scored(root: Path, cv: CrossFolder, training: Training) -> None:
    result = cross_validate(root, run=cv.path, settings=QUICK, folds=["all"], time="10m")
    ((name, split, plan),) = training.calls
    assert name == "all"
    assert split.train == split.validation == ["c0", "c1", "c2", "c3", "c4"]
    assert split.test == []
    assert split.optimistic
    assert plan.budget.time == pytest.approx(600, abs=60), "all of it"
    assert result.finished
    assert (result.scores, result.fold_scores) == (None, {})
    assert list(cv.read().folds) == ["all"]
    assert list(result.runs) == ["all"]
    cross_validate(root, run=cv.path, folds=[0])
    assert list(cv.read().folds) == ["0", "1", "2", "3", "4", "all"]


def test_stopping_on_the_fold_marks_every_table(root: Path, cv: CrossFolder, training: Training) -> None:
    result = cross_validate(root, run=cv.path, settings=QUICK, stop_on_fold=True)
    for _, split, _ in training.calls:
        assert split.validation == split.test
        assert split.optimistic
    assert result.scores is not None
    assert result.scores.optimistic
    assert OPTIMISTIC in result.scores.title
    assert cv.read().optimistic
    assert cv.read().stop_on_fold
    assert load_scores(cv.scores).optimistic
    assert result.report.read_text().count(OPTIMISTIC) >= 3
    with pytest.raises(RunError, match="with --stop-on-fold"):
        cross_validate(root, run=cv.path)


def test_folds_of_a_file_are_used(root: Path, cv: CrossFolder, training: Training, listener: Any) -> None:
    file = root.parent / "mine.json"
    folds = [{"train": ["c0", "c1", "c2"], "val": ["c3"]}, {"train": ["c3", "c1", "c2"], "val": ["c0"]}]
    file.write_text(json.dumps(folds))
    cross_validate(root, run=cv.path, settings=QUICK, splits=file, observer=listener)
    assert [split.test for _, split, _ in training.calls] == [["c3"], ["c0"]]
    assert all("c4" not in split.set_of() for _, split, _ in training.calls)
    assert any("never scored" in note for note in listener.notes)
    assert "never scored" in cv.report.read_text()
    assert len(cv.read().folds) == 2
    (root / "splits_final.json").write_text(json.dumps(folds[:1]))
    cross_validate(root, run=cv.path)
    assert len(training.calls) == 2, "the folder keeps the folds that it was begun with"


def test_a_splits_final_in_the_dataset_is_used(root: Path, cv: CrossFolder, training: Training) -> None:
    (root / "splits_final.json").write_text(json.dumps([{"train": ["c0", "c1", "c2"], "val": ["c3", "c4"]}]))
    cross_validate(root, run=cv.path, settings=QUICK)
    assert [split.test for _, split, _ in training.calls] == [["c3", "c4"]]
    assert str(root / "splits_final.json") in cv.read().folds_from


def test_a_wrong_file_is_refused_before_anything_is_written(root: Path, cv: CrossFolder, tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="no such file"):
        cross_validate(root, run=cv.path, splits=tmp_path / "nowhere.json")
    assert not cv.path.exists()


def test_the_time_is_divided_among_the_folds_that_are_left(
    root: Path, cv: CrossFolder, training: Training, measured: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 7.0))
    training.seconds = 30.0
    training.interrupts = ["2"]
    cross_validate(root, run=cv.path, settings=QUICK, time="500s")
    assert measured == [(100.0, True)]
    assert load_plan(cv.plan).budget.reasons["time"] == "about 1.7 min for each of 5 folds"
    assert [plan.budget.time for _, _, plan in training.calls] == [100, (500 - 30) / 4, (500 - 60) / 3]
    cross_validate(root, run=cv.path)
    # Fold 2 has had 30 s in its first sitting and gets a third of the 410 s that are left.
    again = [plan.budget.time for _, _, plan in training.calls[3:]]
    assert again == pytest.approx([30 + 410 / 3, (500 - 120) / 2, 500 - 150])
    reasons = training.calls[0][2].budget.reasons["time"]
    assert reasons.startswith("1.7 min for this fold")
    assert "5 folds to do" in reasons
    assert all("budget.time" not in settings for settings in training.settings)


def test_time_that_is_used_up_leaves_a_second_for_each_fold(
    root: Path, cv: CrossFolder, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 7.0))
    training.seconds = 100.0
    assert cross_validate(root, run=cv.path, settings=QUICK, time="10s").finished
    assert all(plan.budget.time is not None and plan.budget.time > 0 for _, _, plan in training.calls)


def test_the_plan_may_be_edited_before_the_first_fold_and_not_after(
    root: Path, cv: CrossFolder, training: Training, measured: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RunError("not yet")

    def edit(section: str, field: str, value: Any) -> None:
        content = json.loads(cv.plan.read_text())
        content[section][field] = value
        cv.plan.write_text(json.dumps(content))

    with monkeypatch.context() as patch:
        patch.setattr(module, "train", fail)
        with pytest.raises(RunError, match="not yet"):
            cross_validate(root, run=cv.path, settings=QUICK)
    edit("training", "ema", 0.1)
    training.interrupts = ["0"]
    cross_validate(root, run=cv.path)
    assert training.calls[0][2].training.ema == 0.1
    assert measured == [(None, True), (None, False)]
    edit("training", "learning_rate", 0.5)
    with pytest.raises(RunError, match=r"training\.learning_rate changed since fold 0 was trained"):
        cross_validate(root, run=cv.path)


def test_a_changed_dataset_is_refused(root: Path, cv: CrossFolder, training: Training) -> None:
    training.interrupts = ["1"]
    cross_validate(root, run=cv.path, settings=QUICK)
    label = root / "labelsTr" / "c0.nii.gz"
    label.write_bytes((root / "labelsTr" / "c1.nii.gz").read_bytes())
    with pytest.raises(PlanError, match="dataset has changed"):
        cross_validate(root, run=cv.path)
    assert cross_validate(root, run=cv.path, fresh=True).finished
    (aside,) = cv.path.parent.glob("cv-before-*")
    assert (aside / "fold_0" / "run.json").is_file()


def test_without_a_folder_the_newest_alike_goes_on(
    root: Path, training: Training, measured: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    training.interrupts = ["0"]
    first = cross_validate(root, settings=QUICK)
    assert first.folder.name.startswith("cv-")
    second = cross_validate(root, settings=QUICK)
    assert second.folder == first.folder
    assert second.finished
    assert cross_validate(root, settings=QUICK, fresh=True).folder != first.folder
    assert (tmp_path / "runs" / root.name / "cache" / "fingerprint.json").is_file(), "shared with ordinary runs"


def test_groups_are_not_divided(root: Path, cv: CrossFolder, training: Training) -> None:
    (root / "groups.json").write_text(json.dumps({f"c{index}": f"p{index // 2}" for index in range(5)}))
    with pytest.raises(SplitError, match="3 groups, too few for 5 folds"):
        cross_validate(root, run=cv.path, settings=QUICK)
    file = root.parent / "mine.json"
    file.write_text(json.dumps([{"train": ["c0", "c1", "c2", "c3"], "val": ["c4"]}]))
    cross_validate(root, run=cv.path, settings=QUICK, splits=file)
    ((_, split, _),) = training.calls
    assert sorted([sorted(split.train), sorted(split.validation)]) == [["c0", "c1"], ["c2", "c3"]]


@pytest.fixture
def two_folds(root: Path) -> Path:
    file = root.parent / "two.json"
    folds = [{"train": ["c2", "c3", "c4"], "val": ["c0", "c1"]}, {"train": ["c0", "c1", "c4"], "val": ["c2", "c3"]}]
    file.write_text(json.dumps(folds))
    return file


def test_two_real_folds_share_the_store_and_are_ordinary_runs(
    root: Path, two_folds: Path, tmp_path: Path, listener: Any
) -> None:
    cv = CrossFolder(tmp_path / "cv")
    result = cross_validate(root, run=cv.path, settings=QUICK, splits=two_folds, observer=listener)
    assert result.finished
    assert result.scores is not None
    assert list(result.scores.cases) == ["c0", "c1", "c2", "c3"]
    assert not result.scores.optimistic
    stores = [path for path in (cv.path / "cache" / "preprocessed").iterdir() if path.is_dir()]
    assert len(stores) == 1
    assert not list(cv.path.glob("fold_*/cache"))
    plans = [load_plan(cv.fold(name).plan) for name in "01"]
    assert plans[0] == plans[1] == load_plan(cv.plan)
    assert report(cv.fold("1").path).is_file()
    assert len(predict(cv.fold("0").path, root / "imagesTr", tmp_path / "out", device="cpu")) == 5


def test_marks_of_a_real_optimistic_fold_are_everywhere(root: Path, two_folds: Path, tmp_path: Path) -> None:
    cv = CrossFolder(tmp_path / "cv")
    result = cross_validate(root, run=cv.path, settings=QUICK, splits=two_folds, folds=[1], stop_on_fold=True)
    run = cv.fold("1")
    assert load_scores(run.scores).optimistic
    assert "test,true," in run.scores.with_suffix(".csv").read_text()
    page = run.report.read_text()
    assert OPTIMISTIC in page
    assert "the fold that is scored decided when to stop" in page
    assert "nothing was decided on them" not in page
    assert OPTIMISTIC in result.report.read_text()


def test_a_real_training_on_all_cases_predicts(root: Path, tmp_path: Path) -> None:
    cv = CrossFolder(tmp_path / "cv")
    result = cross_validate(root, run=cv.path, settings=QUICK, folds=["all"])
    assert result.finished
    assert result.scores is None
    run = cv.fold("all")
    assert not run.scores.exists()
    assert "every case was trained on" in run.report.read_text()
    assert len(predict(run.path, root / "imagesTr", tmp_path / "out", device="cpu")) == 5
    again = module.train(root, run=run.path)
    assert (again.finished, again.scores) == (True, None)
