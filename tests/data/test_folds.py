"""Folds: nnU-Net's numbers, groups that stay together, stopping sets that the fold knows nothing of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodfit.data.dataset import Case, Dataset
from goodfit.data.folds import (
    STOPPED_ON_FOLD,
    Fold,
    Folds,
    all_split,
    find_splits,
    fold_split,
    load_folds,
    make_folds,
    save_folds,
)
from goodfit.data.labels import Labels
from goodfit.data.splits import load_split, save_split
from goodfit.errors import SplitError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Positions of the validation cases of each fold among the sorted names, made with nnunetv2 2.8.1
# (nnunetv2.utilities.crossval_split.generate_crossval_split).
NNUNET = {
    5: [[0], [4], [3], [1], [2]],
    7: [[3, 6], [0, 4], [1], [5], [2]],
    12: [[0, 3, 8], [7, 10, 11], [6, 9], [1, 4], [2, 5]],
    20: [[3, 8, 13, 16], [0, 10, 12, 15], [6, 7, 11, 17], [9, 14, 18, 19], [1, 2, 4, 5]],
    23: [[3, 8, 10, 17, 19], [0, 7, 12, 15, 16], [6, 11, 14, 18, 20], [9, 13, 21, 22], [1, 2, 4, 5]],
}
NNUNET_MIXED = [["B1", "a1"], ["b2", "ä"], ["Z", "a_1"], ["b10", "hippocampus_001"], ["a-1"]]
LABELS = Labels({"organ": (1,), "lesion": (2,)})


def dataset_of(groups: Mapping[str, str] | Sequence[str], root: Path = Path("/data/Dataset001_Made")) -> Dataset:
    """A dataset of these cases, with or without groups; there are no files."""
    given_groups = dict(groups) if not isinstance(groups, (list, tuple)) else {name: name for name in groups}
    cases = tuple(Case(name, (root / name,), root / name, group) for name, group in given_groups.items())
    grouped = any(name != group for name, group in given_groups.items())
    return Dataset(root, "Made", ("MRI",), LABELS, ".nii.gz", "nnunet", cases, grouped=grouped)


def numbered(count: int) -> Dataset:
    return dataset_of([f"case_{index:03d}" for index in range(count)])


def write(path: Path, *folds: tuple[Sequence[str], Sequence[str]]) -> Path:
    path.write_text(json.dumps([{"train": list(train), "val": list(val)} for train, val in folds]))
    return path


grouped_datasets = st.lists(st.integers(1, 7), min_size=5, max_size=14).map(
    lambda sizes: dataset_of({f"c{g}_{i}": f"patient{g}" for g, size in enumerate(sizes) for i in range(size)})
)
datasets = st.one_of(st.integers(5, 60).map(numbered), grouped_datasets)


@pytest.mark.parametrize("count", NNUNET)
def test_folds_are_those_of_nnunet(count: int) -> None:
    dataset = numbered(count)
    names = [case.name for case in dataset.cases]
    folds = make_folds(dataset)
    assert [[names.index(name) for name in fold.validation] for fold in folds.folds] == NNUNET[count]
    assert [list(fold.train) for fold in folds.folds] == [
        [name for name in names if name not in fold.validation] for fold in folds.folds
    ]
    assert folds.source.startswith("nnU-Net's folds")


def test_names_are_sorted_as_nnunet_sorts_them() -> None:
    """By code points: capitals first, b10 before b2."""
    names = ["hippocampus_001", "b2", "a1", "ä", "Z", "a-1", "b10", "a_1", "B1"]
    assert [list(fold.validation) for fold in make_folds(dataset_of(names)).folds] == NNUNET_MIXED


@pytest.mark.parametrize("count", NNUNET)
def test_groups_of_one_case_give_the_same_folds(count: int) -> None:
    named = {f"case_{index:03d}": f"patient {count - index}" for index in range(count)}
    assert make_folds(dataset_of(named)).folds == make_folds(numbered(count)).folds


@given(datasets)
def test_each_case_is_scored_in_one_fold_and_no_group_is_divided(dataset: Dataset) -> None:
    folds = make_folds(dataset)
    assert len(folds.folds) == 5
    scored = [name for fold in folds.folds for name in fold.validation]
    assert sorted(scored) == sorted(case.name for case in dataset.cases)
    for fold in folds.folds:
        assert fold.train
        assert fold.validation
        assert {*fold.train}.isdisjoint(fold.validation)
        assert len(fold.train) + len(fold.validation) == len(scored)
        groups = [{dataset.case(name).group for name in part} for part in (fold.train, fold.validation)]
        assert groups[0].isdisjoint(groups[1])


@given(st.integers(3, 8), st.integers(10, 40))
def test_groups_of_equal_size_make_folds_of_about_equal_size(size: int, count: int) -> None:
    dataset = dataset_of({f"c{g}_{i}": f"patient{g}" for g in range(count) for i in range(size)})
    sizes = [len(fold.validation) for fold in make_folds(dataset).folds]
    assert max(sizes) - min(sizes) <= 2 * size


def test_folds_by_group_say_that_they_are_not_those_of_nnunet() -> None:
    dataset = dataset_of({f"c{index}": f"patient{index // 2}" for index in range(12)})
    source = make_folds(dataset).source
    assert "12 cases in 6 groups" in source
    assert "nnU-Net's own folds take no heed of groups" in source


@pytest.mark.parametrize("dataset", [numbered(4), dataset_of({f"c{i}": f"patient{i % 4}" for i in range(12)})])
def test_too_few_groups_are_refused(dataset: Dataset) -> None:
    with pytest.raises(SplitError, match=r"4 (groups|labelled cases), too few for 5 folds.*--splits"):
        make_folds(dataset)


@settings(max_examples=40)
@given(datasets, st.integers(0, 4), st.integers(0, 3), st.floats(0.05, 0.5))
def test_the_stopping_set_comes_from_the_training_part(dataset: Dataset, fold: int, seed: int, share: float) -> None:
    folds = make_folds(dataset)
    split = fold_split(folds, fold, dataset, seed=seed, share=share)
    chosen = folds.folds[fold]
    assert split.test == list(chosen.validation)
    assert sorted([*split.train, *split.validation]) == list(chosen.train)
    assert {*split.train}.isdisjoint(split.validation)
    assert split.train
    assert split.validation
    assert not split.optimistic
    owners = [{dataset.case(name).group for name in cases} for cases in split.sets().values()]
    assert sum(map(len, owners)) == len(set.union(*owners))
    assert split == fold_split(folds, fold, dataset, seed=seed, share=share)


@pytest.mark.parametrize(("count", "stopping"), [(5, 1), (8, 2), (15, 2), (50, 6), (100, 12)])
def test_the_stopping_set_has_its_share_and_at_least_two_cases_of_six(count: int, stopping: int) -> None:
    dataset = numbered(count)
    assert len(fold_split(make_folds(dataset), 4, dataset).validation) == stopping


def test_other_seeds_carve_other_stopping_sets_and_leave_the_fold() -> None:
    dataset = numbered(40)
    folds = make_folds(dataset)
    splits = [fold_split(folds, 1, dataset, seed=seed) for seed in range(4)]
    assert len({tuple(split.validation) for split in splits}) > 1
    assert len({tuple(split.test) for split in splits}) == 1


def test_the_stopping_set_holds_the_rare_class() -> None:
    dataset = numbered(30)
    folds = make_folds(dataset)
    rare = folds.folds[0].train[:6]
    presence = {case.name: {1: 10} | ({2: 5} if case.name in rare else {}) for case in dataset.cases}
    for seed in range(10):
        split = fold_split(folds, 0, dataset, seed=seed, class_presence=presence)
        assert {*rare} & {*split.validation}
        assert {*rare} & {*split.train}
        assert split.warnings == []
    only = {case.name: {1: 10} | ({2: 5} if case.name == rare[0] else {}) for case in dataset.cases}
    (warning,) = fold_split(folds, 0, dataset, class_presence=only).warnings
    assert "'lesion' does not occur in" in warning


def test_copies_of_the_folds_images_do_not_train() -> None:
    dataset = numbered(12)
    folds = make_folds(dataset)
    tested, (copy, one, other) = folds.folds[2].validation[0], folds.folds[2].train[:3]
    split = fold_split(folds, 2, dataset, identical=[[tested, copy], [one, other]])
    assert copy not in split.set_of()
    assert split.test == list(folds.folds[2].validation)
    assert split.set_of()[one] == split.set_of()[other], "copies of each other stay together"
    assert split.warnings == [
        f"{copy} is the same image as {tested} of fold 2 and is left out of its training.",
    ]


def test_stopping_on_the_fold_is_marked(tmp_path: Path) -> None:
    dataset = numbered(10)
    split = fold_split(make_folds(dataset), 3, dataset, stop_on_fold=True)
    assert split.validation == split.test
    assert len(split.train) == 8
    assert split.optimistic
    assert split.optimistic_reason == STOPPED_ON_FOLD
    save_split(split, tmp_path / "splits.json")
    assert load_split(tmp_path / "splits.json", dataset) == split
    save_split(split.model_copy(update={"optimistic": False}), tmp_path / "splits.json")
    with pytest.raises(SplitError, match="one set only"):
        load_split(tmp_path / "splits.json", dataset)


def test_training_on_all_cases_leaves_none_to_score(tmp_path: Path) -> None:
    dataset = dataset_of({f"c{index}": f"patient{index // 2}" for index in range(6)})
    split = all_split(dataset)
    names = [case.name for case in dataset.cases]
    assert (split.train, split.validation, split.test) == (names, names, [])
    assert split.optimistic
    save_split(split, tmp_path / "splits.json")
    assert load_split(tmp_path / "splits.json", dataset) == split
    for lacking in ({"optimistic": False}, {"validation": names[:2]}):
        save_split(split.model_copy(update=lacking), tmp_path / "splits.json")
        with pytest.raises(SplitError, match="test is empty"):
            load_split(tmp_path / "splits.json", dataset)


def test_a_fold_that_is_not_there_is_refused() -> None:
    dataset = numbered(6)
    with pytest.raises(SplitError, match=r"no fold 5; there are 0 to 4"):
        fold_split(make_folds(dataset), 5, dataset)


def test_a_training_part_of_one_group_cannot_be_carved() -> None:
    dataset = dataset_of(["a", "b"])
    folds = Folds("by hand", (Fold(("a",), ("b",)),))
    with pytest.raises(SplitError, match=r"1 group, from which no stopping set.*--stop-on-fold"):
        fold_split(folds, 0, dataset)
    assert fold_split(folds, 0, dataset, stop_on_fold=True).train == ["a"]
    with pytest.raises(SplitError, match="no case is left to train on"):
        fold_split(folds, 0, dataset, stop_on_fold=True, identical=[["a", "b"]])


def test_folds_written_are_those_read(tmp_path: Path) -> None:
    dataset = numbered(23)
    folds = make_folds(dataset)
    save_folds(folds, tmp_path / "splits_final.json")
    read = load_folds(tmp_path / "splits_final.json", dataset)
    assert read.folds == folds.folds
    assert read.warnings == ()
    assert read.source == f"5 folds of {tmp_path / 'splits_final.json'}"


def test_cases_that_are_scored_never_or_twice_are_warned_about(tmp_path: Path) -> None:
    path = write(tmp_path / "s.json", (["a", "b"], ["c", "d"]), (["a", "b", "d"], ["c"]))
    folds = load_folds(path, dataset_of(["a", "b", "c", "d"]))
    assert folds.folds[1] == Fold(("a", "b", "d"), ("c",))
    never, often = folds.warnings
    assert "2 cases never scored, being in the val of no fold: a, b" in never
    assert "1 case in the val of more than one fold, scored in each: c" in often
    (*_, idle) = load_folds(write(path, (["a"], ["b"])), dataset_of(["a", "b", "c"])).warnings
    assert "fold 0 leaves 1 case unused: c" in idle


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("nonsense", "not valid JSON"),
        ("{}", "these are no folds"),
        ("[]", "these are no folds"),
        ("[3]", "fold 0: train should be a list of case names"),
        ('[{"train": ["a"]}]', "fold 0: val should be a list of case names"),
        ('[{"train": ["a"], "val": [1]}]', "fold 0: val should be a list of case names"),
        ('[{"train": ["a"], "val": []}]', "fold 0: val is empty"),
        ('[{"train": ["a", "a"], "val": ["b"]}]', "fold 0: train names a more than once"),
        ('[{"train": ["a"], "val": ["b"]}, {"train": ["a"], "val": ["x"]}]', "fold 1: names cases .*: x"),
        ('[{"train": ["a", "b"], "val": ["b"]}]', "fold 0: b in train and in val.*--folds all"),
    ],
)
def test_files_that_are_no_folds_are_refused(tmp_path: Path, content: str, what: str) -> None:
    path = tmp_path / "splits_final.json"
    path.write_text(content)
    with pytest.raises(SplitError, match=what) as error:
        load_folds(path, dataset_of(["a", "b", "c"]))
    assert str(path) in str(error.value)


def test_a_file_that_divides_a_group_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "splits_final.json", (["a1", "b1"], ["a2"]))
    grouped = dataset_of({"a1": "ann", "a2": "ann", "b1": "bob"})
    with pytest.raises(SplitError, match="fold 0: divides the group ann"):
        load_folds(path, grouped)
    ungrouped = replace(grouped, cases=tuple(replace(case, group=case.name) for case in grouped.cases), grouped=False)
    assert load_folds(path, ungrouped).folds == (Fold(("a1", "b1"), ("a2",)),)


def test_a_file_is_found_in_the_dataset_before_the_preprocessed_folder(tmp_path: Path) -> None:
    root = tmp_path / "nnUNet_raw" / "Dataset001_Made"
    dataset = dataset_of(["a"], root)
    assert find_splits(dataset) is None
    preprocessed = tmp_path / "nnUNet_preprocessed" / "Dataset001_Made"
    for folder in (preprocessed, root):
        folder.mkdir(parents=True)
        (folder / "splits_final.json").write_text("[]")
        assert find_splits(dataset) == folder / "splits_final.json"
