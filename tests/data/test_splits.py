"""Splits never divide a group, take every case once, repeat for a seed, and refuse a wrong edit."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodfit.data.dataset import Case, Dataset
from goodfit.data.labels import Labels
from goodfit.data.splits import Split, load_split, make_split, merge_groups, save_split
from goodfit.errors import SplitError


def dataset(groups: dict[str, str], tests: dict[str, str] | None = None, bare: tuple[str, ...] = ()) -> Dataset:
    """A dataset without files: case -> group."""

    def cases(of: dict[str, str]) -> tuple[Case, ...]:
        return tuple(
            Case(name, (Path(f"{name}_0000.png"),), None if name in bare else Path(f"{name}.png"), group)
            for name, group in sorted(of.items())
        )

    return Dataset(
        root=Path("Made"),
        name="Made",
        channels=("CT",),
        labels=Labels({"organ": (1,), "lesion": (2,)}),
        file_ending=".png",
        layout="nnunet",
        cases=cases(groups),
        test_cases=cases(tests or {}),
        grouped=any(name != group for name, group in groups.items()),
    )


def singles(count: int, prefix: str = "c") -> dict[str, str]:
    return {f"{prefix}{index:03d}": f"{prefix}{index:03d}" for index in range(count)}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=3, max_size=25), st.integers(0, 10_000), st.booleans())
def test_split_keeps_its_promises(sizes: list[int], seed: int, with_test: bool) -> None:
    groups = {f"g{index}_{case}": f"g{index}" for index, size in enumerate(sizes) for case in range(size)}
    data = dataset(groups, singles(3, "t") if with_test else None)
    split = make_split(data, seed=seed)
    everything = split.train + split.validation + split.test
    assert sorted(everything) == sorted([*groups, *(singles(3, "t") if with_test else {})])
    assert min(len(split.train), len(split.validation), len(split.test)) >= 1
    owner = {name: where for where, cases in split.sets().items() for name in cases}
    for group in set(groups.values()):
        assert len({owner[case] for case, of in groups.items() if of == group}) == 1
    if with_test:
        assert split.test == sorted(singles(3, "t"))
    assert make_split(data, seed=seed) == split


@pytest.mark.parametrize(
    ("count", "expected"), [(3, (1, 1, 1)), (4, (2, 1, 1)), (5, (3, 1, 1)), (10, (6, 2, 2)), (200, (120, 40, 40))]
)
def test_sizes(count: int, expected: tuple[int, int, int]) -> None:
    split = make_split(dataset(singles(count)))
    assert tuple(len(cases) for cases in split.sets().values()) == expected
    assert split.groups == {}


def test_given_test_set_leaves_the_rest_to_the_others() -> None:
    split = make_split(dataset(singles(8), singles(3, "t")))
    assert (len(split.train), len(split.validation), split.test) == (6, 2, ["t000", "t001", "t002"])
    assert "imagesTs" in split.source
    # Test images without a label are no test set.
    split = make_split(dataset(singles(10), singles(3, "t"), bare=("t000", "t001", "t002")))
    assert (len(split.train), len(split.validation), len(split.test)) == (6, 2, 2)


def test_fractions() -> None:
    split = make_split(dataset(singles(20)), fractions=(0.5, 0.25, 0.25))
    assert [len(cases) for cases in split.sets().values()] == [10, 5, 5]
    with pytest.raises(SplitError, match="share above 0"):
        make_split(dataset(singles(20)), fractions=(0.8, 0.2, 0.0))


def test_rare_class_reaches_every_set_or_is_told() -> None:
    names = list(singles(40))
    voxels = {name: {0: 10, 1: 5} | ({2: 1} if index < 3 else {}) for index, name in enumerate(names)}
    split = make_split(dataset(singles(40)), class_presence=voxels)
    for cases in split.sets().values():
        assert set(cases) & set(names[:3])
    assert split.warnings == []
    split = make_split(dataset(singles(40)), class_presence={name: {1: 5} for name in names} | {names[0]: {1: 1, 2: 1}})
    assert names[0] in split.train
    assert split.warnings == ["class 'lesion' does not occur in validation and test; it is in 1 group."]


def test_too_few_groups_say_so_and_name_the_way_out() -> None:
    with pytest.raises(SplitError, match=r"2 labelled cases, at least 3 groups.*Add labelled cases.*labelsTs"):
        make_split(dataset(singles(2)))
    with pytest.raises(SplitError, match=r"6 cases in 2 groups, at least 3.*groups\.json.*labelsTs"):
        make_split(dataset({f"c{index}": f"p{index % 2}" for index in range(6)}))
    with pytest.raises(SplitError, match=r"1 labelled case, at least 2 groups are needed for train and validation"):
        make_split(dataset(singles(1), singles(2, "t")))
    assert make_split(dataset(singles(2), singles(1, "t"))).train


def test_group_on_both_sides_of_a_given_test_set_is_refused() -> None:
    with pytest.raises(SplitError, match="p1 is in imagesTr and in imagesTs"):
        make_split(dataset({"a": "p1", "b": "p2", "c": "p3"}, {"t": "p1"}))


def test_identical_images_stay_together() -> None:
    names = list(singles(12))
    for seed in range(5):
        split = make_split(dataset(singles(12)), seed=seed, identical=[names[:2], names[1:4], ["unknown", names[5]]])
        assert len({split.set_of()[name] for name in names[:4]}) == 1
        assert set(split.groups) == set(names[:4])


def test_merged_groups_bear_all_names() -> None:
    merged = merge_groups({"a": "p1", "b": "p1", "c": "p2", "d": "p3"}, [["b", "c"]])
    assert merged == {"a": "p1 + p2", "b": "p1 + p2", "c": "p1 + p2", "d": "p3"}


def test_file_round_trip(tmp_path: Path) -> None:
    data = dataset({f"c{index}": f"p{index % 4}" for index in range(8)})
    split = make_split(data, seed=3)
    save_split(split, tmp_path / "splits.json")
    assert load_split(tmp_path / "splits.json", data) == split
    content = json.loads((tmp_path / "splits.json").read_text())
    assert content["groups"]["c5"] == "p1"
    assert content["version"] == 1


def edited(tmp_path: Path, data: Dataset, **changes: Any) -> Split:
    content = make_split(data).model_dump() | changes
    (tmp_path / "splits.json").write_text(json.dumps(content))
    return load_split(tmp_path / "splits.json", data)


def test_edited_files_are_taken_or_refused_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = dataset(singles(6), {"t000": "t000"}, bare=("t000",))
    good = {"train": ["c000", "c001"], "validation": ["c002"], "test": ["c003"]}
    with caplog.at_level(logging.WARNING):
        assert edited(tmp_path, data, **good).validation == ["c002"]
    assert "2 labelled cases are in no set" in caplog.text
    for changes, message in (
        ({"train": ["c000", "nope"]}, "train names cases that the dataset does not have: nope"),
        ({"test": []}, "test is empty"),
        ({"validation": ["c002", "c000"]}, r"one set only, and once: c000 \(train and validation\)"),
        ({"train": ["c000", "c000"]}, "c000"),
        ({"test": ["t000"]}, "without a label: t000"),
        ({"train": "c000"}, "train: "),
        ({"tset": ["c000"]}, "tset: "),
        ({"version": 2}, "version: "),
    ):
        with pytest.raises(SplitError, match=message) as caught:
            edited(tmp_path, data, **(good | changes))
        assert "splits.json" in str(caught.value)


def test_divided_group_is_refused(tmp_path: Path) -> None:
    data = dataset({"a1": "a", "a2": "a", "b": "b", "c": "c"})
    sets = {"train": ["a1"], "validation": ["a2", "b"], "test": ["c"]}
    with pytest.raises(SplitError, match=r"one set only: a \(train and validation\)"):
        edited(tmp_path, data, **sets)
    # The file remembers groups that the dataset is opened without (a --group-by that was not repeated).
    save_split(make_split(data), tmp_path / "splits.json")
    content = json.loads((tmp_path / "splits.json").read_text()) | sets
    (tmp_path / "splits.json").write_text(json.dumps(content))
    with pytest.raises(SplitError, match="a group must be in one set only: a"):
        load_split(tmp_path / "splits.json", dataset({name: name for name in ("a1", "a2", "b", "c")}))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="no such file"):
        load_split(tmp_path / "splits.json", dataset(singles(3)))
