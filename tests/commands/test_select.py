"""The best configuration or pair, by cross-validation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from goodfit.commands.cross.folder import CrossFolder, CrossRecord, FoldEntry
from goodfit.commands.models import open_all
from goodfit.commands.predict import predict
from goodfit.commands.select import select
from goodfit.commands.selection import load_selection
from goodfit.data.readers import read_label, write_label, write_probabilities
from goodfit.errors import RunError, SettingsError
from goodfit.tasks.segmentation.scores import load_scores
from goodfit.training.device import choose_device
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FOLDS = {"0": ("c0", "c1"), "1": ("c2", "c3", "c4")}


@pytest.fixture
def cross(root: Path, tmp_path: Path, write_run: Callable[..., RunFolder]) -> Callable[..., Path]:
    """Make a finished cross-validation whose folds predicted what ``guess`` makes of the true labels."""

    def build(name: str, guess: Callable[[np.ndarray], np.ndarray], *, settings: Any = None, folds: Any = None) -> Path:
        folder = CrossFolder(tmp_path / name)
        entries = {}
        for fold, cases in (folds or FOLDS).items():
            run = write_run(folder.fold(fold).path, int(fold), test=cases)
            entries[fold] = FoldEntry(run=f"fold_{fold}", status="finished", train=2, validation=1, test=len(cases))
            for case in cases:
                label, geometry = read_label(root / "labelsTr" / f"{case}.nii.gz")
                chances = guess(np.stack([label == value for value in range(3)]).astype(np.float32))
                write_probabilities(run.predictions / f"{case}.npz", chances)
                write_label(run.predictions / f"{case}.nii.gz", chances.argmax(0), geometry)
        record = CrossRecord(
            goodfit="0",
            dataset=str(root.resolve()),
            created="now",
            settings=settings or {},
            folds_from="by hand",
            stop_on_fold=False,
            planned="x",
            folds=entries,
        )
        folder.write(record)
        return folder.path

    return build


def blurred_left(chances: np.ndarray) -> np.ndarray:
    """Sees half of the left box, unsure; knows the right one."""
    made = chances * 0.4 + 0.2
    made[:, :, :, :4] = [[[[0.5]]], [[[0.45]]], [[[0.05]]]]
    return made


def blurred_right(chances: np.ndarray) -> np.ndarray:
    """Sees the left box; unsure of the right one, which it takes for background."""
    made = chances * 0.6 + 0.2
    made[:, :, :, 8:] = chances[:, :, :, 8:] * 0.3 + np.array([0.4, 0.0, 0.0])[:, None, None, None]
    return made


def with_islands(chances: np.ndarray) -> np.ndarray:
    """Sees all, and a right box in a far corner."""
    made = chances.copy()
    made[:, -1, -1, :2] = [[0], [1], [0]]
    return made


def test_a_pair_wins_where_each_knows_what_the_other_does_not(cross: Callable[..., Path], listener: Any) -> None:
    first, second = cross("first", blurred_left), cross("second", blurred_right)
    found = select([first, second], observer=listener)
    record = found.record
    assert found.file == first.parent / "selection" / "selection.json"
    assert found.names[0] == f"{first} + {second}"
    assert record.candidates[0].dice > max(one.dice for one in record.candidates[1:])
    assert [member.path for member in record.selected] == ["../first", "../second"]
    assert [member.folds for member in record.selected] == [["0", "1"]] * 2
    assert record.optimistic
    assert record.cases == 5
    scores = load_scores(found.file.parent / "scores.json")
    assert scores.optimistic
    assert list(scores.cases) == ["c0", "c1", "c2", "c3", "c4"]
    assert scores.mean_dice == pytest.approx(record.dice_postprocessed)
    assert record.command == f"goodfit predict {first.parent / 'selection'} IMAGES OUTPUT"
    selection = load_selection(found.file.parent)
    assert selection is not None
    assert [member.path for member in selection.members] == [first, second]
    opened = open_all([found.file], folds=None, checkpoint=None, device=choose_device("cpu"))
    assert len(opened.models) == 2


def test_a_single_configuration_gets_its_postprocessing_and_predict_applies_it(
    cross: Callable[..., Path], root: Path, tmp_path: Path, listener: Any
) -> None:
    one = cross("one", with_islands, settings={"prediction.tta": True, "prediction.step_size": 0.7})
    found = select([one], tmp_path / "chosen")
    # The two boxes are equally large, so both stay when all classes are looked at together.
    assert [trial.name for trial in found.record.postprocessing.steps] == ["all classes together"]
    assert found.record.dice < found.record.dice_postprocessed == 1
    assert found.record.command.endswith("IMAGES OUTPUT --tta --step-size 0.7")
    label, _ = read_label(tmp_path / "chosen" / "predictions" / "c1.nii.gz")
    assert np.array_equal(label, read_label(root / "labelsTr" / "c1.nii.gz")[0])
    written = predict(tmp_path / "chosen", root / "imagesTr", tmp_path / "out", device="cpu", observer=listener)
    assert any("only the largest component of all classes together" in note for note in listener.notes)
    plain = predict(one, root / "imagesTr", tmp_path / "plain", device="cpu")
    for file, other in zip(written, plain, strict=True):
        assert np.array_equal(read_label(file)[0], found.record.postprocessing.apply(read_label(other)[0]))


def test_equals_go_to_the_single_one_named_first(cross: Callable[..., Path]) -> None:
    first, second = cross("first", lambda chances: chances), cross("second", lambda chances: chances)
    assert select([second, first], pairs=True).names[0] == str(second)


def test_pairs_need_probabilities(cross: Callable[..., Path], root: Path) -> None:
    first, second = cross("first", blurred_left), cross("second", blurred_right)
    (second / "fold_1" / "predictions" / "c3.npz").unlink()
    with pytest.raises(
        RunError, match=r"second: probabilities of 1 of 5 cases are missing.*--probabilities.*--no-pairs"
    ):
        select([first, second])
    assert len(select([first, second], pairs=False).record.candidates) == 2


def test_what_does_not_compare_is_refused(cross: Callable[..., Path], tmp_path: Path) -> None:
    first = cross("first", blurred_left)
    short = cross("short", blurred_right, folds={"0": ("c0", "c1"), "1": ("c2",)})
    with pytest.raises(RunError, match=r"do not score the same cases \(c3, c4 only in one\)"):
        select([first, short])
    assert select([first, short], folds=[0]).record.cases == 2
    with pytest.raises(RunError, match="no cross-validation"):
        select([first / "fold_0"])
    with pytest.raises(SettingsError, match="at least one"):
        select([])
    RunFolder(first / "fold_1").update_record(status="trained")
    with pytest.raises(RunError, match="fold_1: this fold is trained, not finished"):
        select([first])
    for file in short.rglob("trained.json"):
        trained = json.loads(file.read_text())
        trained["plan"]["data"]["key"] = "0" * 16
        file.write_text(json.dumps(trained))
    with pytest.raises(RunError, match="are of different datasets"):
        select([cross("first", blurred_left), short], folds=[0])


def test_only_an_earlier_selection_is_replaced(cross: Callable[..., Path], tmp_path: Path) -> None:
    one = cross("one", blurred_left)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("no copy")
    with pytest.raises(SettingsError, match="holds something else than a selection"):
        select([one], tmp_path / "mine")
    select([one], tmp_path / "out")
    stale = tmp_path / "out" / "predictions" / "gone.nii.gz"
    stale.write_bytes(b"")
    select([one], tmp_path / "out")
    assert not stale.exists()


def test_a_damaged_selection_and_options_that_it_rules_out_are_refused(
    cross: Callable[..., Path], root: Path, tmp_path: Path
) -> None:
    one = cross("one", blurred_left)
    found = select([one], tmp_path / "out")
    with pytest.raises(SettingsError, match="names its runs and folds itself"):
        predict(tmp_path / "out", root / "imagesTr", tmp_path / "p", folds=[0], device="cpu")
    found.file.write_text('{"version": 2}')
    with pytest.raises(RunError, match=r"no selection of `goodfit select`"):
        predict(tmp_path / "out", root / "imagesTr", tmp_path / "p", device="cpu")
