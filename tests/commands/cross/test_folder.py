"""Which folder a cross-validation works in, and its record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from goodfit.commands.cross.folder import CrossFolder, CrossRecord, FoldEntry, choose_folder, set_cross_aside
from goodfit.data.dataset import Case, Dataset
from goodfit.data.folds import Folds, make_folds, save_folds
from goodfit.data.labels import Labels
from goodfit.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "data" / "Dataset001_Test"
    cases = tuple(Case(f"c{index}", (root / "i",), root / "l", f"c{index}") for index in range(10))
    return Dataset(root, "Test", ("CT",), Labels({"a": (1,)}), ".nii.gz", "nnunet", cases)


@pytest.fixture
def begin(dataset: Dataset) -> Callable[..., CrossFolder]:
    """Write a record and folds into a folder."""

    def write(path: Path, settings: dict[str, Any] | None = None, *, stop_on_fold: bool = False) -> CrossFolder:
        folder = CrossFolder(path)
        root = str(dataset.root.resolve())
        record = CrossRecord(
            goodfit="0",
            dataset=root,
            created="now",
            settings=settings or {},
            folds_from="x",
            stop_on_fold=stop_on_fold,
            planned="",
        )
        folder.write(record)
        save_folds(make_folds(dataset), folder.splits)
        return folder

    return write


def choose(
    dataset: Dataset, run: Path | None = None, explicit: dict[str, Any] | None = None, **options: Any
) -> CrossFolder:
    return choose_folder(
        dataset, run, explicit or {}, **{"stop_on_fold": False, "given": None, "fresh": False, **options}
    )


def test_a_first_call_makes_a_folder_named_by_dataset_and_time(dataset: Dataset) -> None:
    folder = choose(dataset)
    assert folder.path.parent == Path("runs/Dataset001_Test")
    assert folder.path.name.startswith("cv-")
    folder.path.mkdir(parents=True)
    assert choose(dataset).path != folder.path, "a folder without a record is nobody's"


def test_what_was_asked_for_alike_goes_on(dataset: Dataset, begin: Callable[..., CrossFolder]) -> None:
    first = begin(choose(dataset).path, {"budget.time": 60.0, "machine.device": "cpu"})
    assert choose(dataset, None, {"budget.time": 60.0}) == first, "the machine may change"
    assert choose(dataset, None, {"budget.time": 61.0}) != first
    assert choose(dataset) != first
    assert choose(dataset, None, {"budget.time": 60.0}, stop_on_fold=True) != first
    assert choose(dataset, None, {"budget.time": 60.0}, fresh=True) != first


def test_folds_handed_in_must_be_those_of_the_folder(dataset: Dataset, begin: Callable[..., CrossFolder]) -> None:
    first = begin(choose(dataset).path)
    folds = make_folds(dataset)
    assert choose(dataset, given=folds) == first
    others = Folds("others", folds.folds[:3])
    assert choose(dataset, given=others) != first
    with pytest.raises(RunError, match="begun otherwise: with other folds"):
        choose(dataset, first.path, given=others)


def test_a_chosen_folder_goes_on_unless_something_contradicts(
    dataset: Dataset, begin: Callable[..., CrossFolder], tmp_path: Path
) -> None:
    mine = begin(tmp_path / "mine", {"budget.epochs": 5})
    assert choose(dataset, mine.path) == mine
    assert choose(dataset, mine.path, {"budget.epochs": 5, "prediction.tta": True}) == mine
    with pytest.raises(RunError, match=r"budget\.epochs=6 \(there 5\); without --stop-on-fold.*--fresh"):
        choose(dataset, mine.path, {"budget.epochs": 6}, stop_on_fold=True)
    assert choose(dataset, mine.path, {"budget.epochs": 6}, fresh=True) == mine


def test_a_named_folder_goes_by_the_content_of_the_dataset_and_a_found_one_by_its_place(
    dataset: Dataset, begin: Callable[..., CrossFolder], tmp_path: Path
) -> None:
    mine = begin(choose(dataset).path)
    assert choose(dataset) == mine
    content = json.loads(mine.record.read_text())
    mine.record.write_text(json.dumps({**content, "dataset": str(tmp_path / "before")}))
    assert choose(dataset, mine.path) == mine
    assert choose(dataset) != mine


def test_folders_that_hold_something_else_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / ".lock").touch()
    assert choose(dataset, run).path == run
    (run / "run.json").write_text("{}")
    with pytest.raises(RunError, match="holds no cross-validation"):
        choose(dataset, run)
    with pytest.raises(RunError, match="this is a file"):
        choose(dataset, run / "run.json")


def test_an_old_one_is_moved_aside_and_the_cache_stays(begin: Callable[..., CrossFolder], tmp_path: Path) -> None:
    folder = begin(tmp_path / "mine")
    folder.fold("0").update_record(status="finished")
    (folder.path / "cache").mkdir()
    aside = set_cross_aside(folder)
    assert aside is not None
    assert (aside / "cross_validation.json").is_file()
    assert (aside / "fold_0" / "run.json").is_file()
    assert [entry.name for entry in folder.path.iterdir()] == ["cache"]
    assert set_cross_aside(folder) is None


def test_the_record_is_what_was_written(begin: Callable[..., CrossFolder], tmp_path: Path) -> None:
    folder = begin(tmp_path / "mine", {"budget.epochs": 5})
    entry = FoldEntry(
        run="fold_0", status="finished", train=3, validation=1, test=1, mean={"dice": None}, classes={"a": {"dice": 1}}
    )
    record = folder.read().model_copy(update={"folds": {"0": entry}, "optimistic": True})
    folder.write(record)
    assert folder.read() == record


@pytest.mark.parametrize(("content", "what"), [("{", "not valid JSON"), ("{}", r"goodfit: Field required")])
def test_a_damaged_record_is_named(tmp_path: Path, content: str, what: str) -> None:
    folder = CrossFolder(tmp_path)
    folder.record.write_text(content)
    with pytest.raises(RunError, match=rf"cross_validation\.json.*{what}"):
        folder.read()


def test_only_folds_with_a_run_were_begun(tmp_path: Path) -> None:
    folder = CrossFolder(tmp_path)
    for name in ("2", "0", "all"):
        folder.fold(name).update_record(status="training")
    (tmp_path / "fold_1").mkdir()
    assert list(folder.begun()) == ["0", "2", "all"]
    assert folder.begun()["all"].path == tmp_path / "fold_all"
