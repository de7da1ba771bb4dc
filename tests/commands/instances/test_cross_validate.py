"""Cross-validation of frames with instances: folds by video, scores over folds, marks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import goodfit
from goodfit.commands.cross.folder import CrossFolder
from goodfit.commands.instances.cross_validate import InstanceFolds
from goodfit.data.instances.dataset import open_instances
from goodfit.data.splits import Split
from goodfit.errors import SplitError
from goodfit.planning.instances.plan import load_instance_plan
from goodfit.reporting.instances.fold_tables import OPTIMISTIC
from goodfit.tasks.instances.scores import InstanceScores, load_instance_scores

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_folds_are_by_video(make_frames: Callable[..., Path]) -> None:
    dataset = open_instances(make_frames(videos=7, frames=2))
    folds = InstanceFolds().make_folds(dataset)
    assert len(folds.folds) == 5
    scored = [name for fold in folds.folds for name in fold.validation]
    assert sorted(scored) == sorted(frame.name for frame in dataset.frames)
    for fold in folds.folds:
        groups = [{dataset.frame(name).group for name in part} for part in (fold.train, fold.validation)]
        assert groups[0].isdisjoint(groups[1])
    assert folds.source == "5 folds by group: 14 frames in 7 groups, shuffled with seed 12345"


def test_fewer_videos_than_folds_are_a_fold_each(make_frames: Callable[..., Path]) -> None:
    folds = InstanceFolds().make_folds(open_instances(make_frames("Three", videos=3)))
    assert [len({name[:2] for name in fold.validation}) for fold in folds.folds] == [1, 1, 1]
    assert folds.warnings == ("there are 3 groups only: 3 folds, each scored on one group",)
    with pytest.raises(SplitError, match="2 groups, too few for a cross-validation"):
        InstanceFolds().make_folds(open_instances(make_frames("Two", videos=2)))


def test_folds_of_a_file_are_used(make_frames: Callable[..., Path]) -> None:
    root = make_frames(videos=4, frames=1)
    (root / "splits_final.json").write_text(json.dumps([{"train": ["v0_000", "v1_000"], "val": ["v2_000"]}]))
    folds = InstanceFolds().make_folds(open_instances(root))
    assert [fold.validation for fold in folds.folds] == [("v2_000",)]


@pytest.fixture(scope="module")
def crossed(
    frames: Path, tmp_path_factory: pytest.TempPathFactory, quick_settings: dict[str, Any]
) -> tuple[CrossFolder, Any]:
    folder = CrossFolder(tmp_path_factory.mktemp("cross") / "cv")
    return folder, goodfit.cross_validate(frames, run=folder.path, settings=quick_settings, folds=[0, 3])


def test_each_fold_has_a_stopping_set_of_its_training_part(frames: Path, crossed: tuple[CrossFolder, Any]) -> None:
    folder, result = crossed
    dataset = open_instances(frames)
    assert list(result.runs) == ["0", "3"]
    tested = set()
    for run in result.runs.values():
        split = Split.model_validate(json.loads(run.splits.read_text()))
        sets = [{dataset.frame(name).group for name in names} for names in split.sets().values()]
        assert [len(groups) for groups in sets] == [3, 1, 1]
        assert not split.optimistic
        tested |= sets[2]
        assert load_instance_plan(run.plan) == load_instance_plan(folder.plan)
        assert run.read_record()["kind"] == "instances"
    assert len(tested) == 2
    assert not list(folder.path.glob("fold_*/cache")), "the folds share the decoded frames"


def test_scores_are_put_together(crossed: tuple[CrossFolder, Any]) -> None:
    folder, result = crossed
    assert result.finished
    assert isinstance(result.scores, InstanceScores)
    assert (result.scores.frames, result.scores.set_name) == (6, "cross-validation")
    assert load_instance_scores(folder.scores).frames == 6
    assert len(result.scores.groups) == 2
    assert result.over_folds.folds == 2
    aps = [fold.numbers.ap for fold in result.fold_scores.values()]
    assert result.over_folds.mean["mask_ap"].mean == pytest.approx(sum(aps) / 2)
    record = folder.read()
    assert record.folds["0"].status == "finished"
    assert record.folds["1"].status == "waiting"
    assert set(record.folds["0"].classes) == {"red", "blue"}
    assert not record.optimistic
    page = result.report.read_text()
    assert "mean over folds" in page
    assert "red mask AP" in page
    assert OPTIMISTIC not in page


def test_stopping_on_the_fold_is_marked_everywhere(frames: Path, tmp_path: Path, quick: dict[str, Any]) -> None:
    result = goodfit.cross_validate(frames, run=tmp_path / "cv", settings=quick, folds=[1], stop_on_fold=True)
    assert isinstance(result.scores, InstanceScores)
    assert result.scores.optimistic
    assert "optimistic" in result.scores.title
    assert any(note.startswith("Optimistic: the fold that is scored decided") for note in result.scores.notes)
    assert CrossFolder(tmp_path / "cv").read().optimistic
    assert result.report.read_text().count(OPTIMISTIC) >= 3
    run = result.runs["1"]
    assert load_instance_scores(run.scores).optimistic
    assert "optimistic" in run.report.read_text()
