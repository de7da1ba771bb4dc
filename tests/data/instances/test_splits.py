from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.data.instances.dataset import open_instances
from goodfit.data.instances.model import Frame, ImageSource, Instance, InstanceDataset
from goodfit.data.instances.splits import judge_split, load_instance_split, make_instance_split
from goodfit.data.splits import SET_NAMES, save_split
from goodfit.errors import SplitError

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=12)


def made_of(lengths, *, grouped=True, categories=lambda group: (1,), given=None):
    """A dataset with a group for each length."""
    frames = []
    for index, length in enumerate(lengths):
        for number in range(length):
            name = f"g{index:02d}_{number:03d}"
            group = f"g{index:02d}" if grouped else name
            objects = tuple(Instance(one, (0.0, 0.0, 2.0, 2.0), None, 4.0) for one in categories(index))
            frames.append(
                Frame(name, group, number, None, 8, 8, ImageSource(Path(name)), objects, group if grouped else "")
            )
    most = max((one.category for frame in frames for one in frame.instances), default=1)
    names = tuple(f"c{number}" for number in range(1, most + 1))
    return InstanceDataset(Path("set"), "set", names, tuple(frames), False, grouped, given)


@given(LENGTHS, st.integers(0, 3))
def test_groups_are_never_divided(lengths, seed):
    dataset = made_of(lengths)
    if len(lengths) < 3:
        return
    split = make_instance_split(dataset, seed=seed)
    assert not split.optimistic
    assert sorted(name for members in split.sets().values() for name in members) == sorted(
        frame.name for frame in dataset.frames
    )
    assert all(split.sets().values())
    places = {}
    for name, place in split.set_of().items():
        places.setdefault(dataset.frame(name).group, set()).add(place)
    assert all(len(sets) == 1 for sets in places.values())
    assert split == make_instance_split(dataset, seed=seed)
    assert judge_split(dataset, split) == {"validation": 0.0, "test": 0.0}


@given(st.lists(st.integers(1, 60), min_size=1, max_size=2), st.integers(0, 3))
def test_few_groups_become_stretches_with_a_gap(lengths, seed):
    dataset = made_of(lengths)
    if max(lengths) < 5:
        with pytest.raises(SplitError, match="cannot be divided"):
            make_instance_split(dataset, seed=seed)
        return
    split = make_instance_split(dataset, seed=seed)
    assert split.optimistic
    assert "Guard gaps" in split.optimistic_reason
    assert split.warnings[0] == split.optimistic_reason
    for name in SET_NAMES:
        for frame in map(dataset.frame, split.sets()[name]):
            others = [
                other for place in SET_NAMES if place != name for other in map(dataset.frame, split.sets()[place])
            ]
            near = [other for other in others if other.group == frame.group and abs(other.number - frame.number) <= 1]
            assert not near


def test_sizes_are_about_as_asked():
    split = make_instance_split(made_of([10] * 30), fractions=(0.5, 0.25, 0.25))
    assert [len(members) for members in split.sets().values()] == [150, 80, 70] or [
        len(members) for members in split.sets().values()
    ] == [150, 70, 80]
    with pytest.raises(SplitError, match="share above 0"):
        make_instance_split(made_of([10] * 3), fractions=(0.5, 0.5, 0))


def test_categories_are_spread():
    dataset = made_of([5] * 15, categories=lambda group: (1, 2) if group % 5 == 0 else (1,))
    for seed in range(5):
        split = make_instance_split(dataset, seed=seed)
        assert not split.warnings
        for members in split.sets().values():
            assert {one.category for name in members for one in dataset.frame(name).instances} == {1, 2}


def test_what_is_tested_was_trained_where_that_can_be():
    dataset = made_of([10, 10, 10, 10], categories=lambda group: (1,) if group else (1, 2))
    for seed in range(10):
        split = make_instance_split(dataset, seed=seed)
        assert "g00_000" in split.train
        assert split.warnings == ["category 'c2' does not occur in validation and test; it is in 1 group."]


def test_images_without_groups_are_divided_one_by_one():
    split = make_instance_split(made_of([20], grouped=False))
    assert [len(members) for members in split.sets().values()] == [12, 4, 4]
    assert split.groups == {}
    assert "by frame" in split.source
    with pytest.raises(SplitError, match="2 frames in 2 frames"):
        make_instance_split(made_of([2], grouped=False))


def test_identical_images_stay_together():
    dataset = made_of([1] * 20, grouped=False)
    pairs = [["g00_000", "g01_000"], ["g01_000", "g02_000"]]
    for seed in range(5):
        places = make_instance_split(dataset, seed=seed, identical=pairs).set_of()
        assert len({places[name] for name in ("g00_000", "g01_000", "g02_000")}) == 1
    everything = [[frame.name for frame in dataset.frames]]
    assert make_instance_split(dataset, identical=everything).test


def test_a_given_split_is_followed():
    dataset = made_of([4, 4, 4])
    given_sets = {
        frame.name: {"g00": "train", "g01": "validation", "g02": "test"}[frame.group] for frame in dataset.frames
    }
    split = make_instance_split(replace(dataset, given_split=given_sets))
    assert split.set_of() == given_sets
    assert not split.optimistic
    assert split.reasons["test"] == "4 of 12 frames in 1 group with 4 objects, as given"
    assert make_instance_split(replace(dataset, given_split=given_sets), follow_given=False, seed=1).source.startswith(
        "60"
    )


def test_a_set_that_is_not_given_is_taken_from_training():
    dataset = made_of([4] * 6)
    given_sets = {frame.name: "validation" if frame.group == "g05" else "train" for frame in dataset.frames}
    split = make_instance_split(replace(dataset, given_split=given_sets))
    assert {dataset.frame(name).group for name in split.validation} == {"g05"}
    assert len({dataset.frame(name).group for name in split.test}) == 1
    assert len(split.train) == 16
    assert split.source == "75 / 25 train / test by group; the rest as the folders of the dataset tell"
    one = made_of([20, 5])
    given_sets = {frame.name: "test" if frame.group == "g01" else "train" for frame in one.frames}
    split = make_instance_split(replace(one, given_split=given_sets))
    assert split.optimistic
    assert "train and validation are stretches of time of the same videos (g00)" in split.optimistic_reason


def test_a_given_split_that_divides_videos_is_optimistic():
    dataset = made_of([10, 10])
    given_sets = {frame.name: SET_NAMES[min(2, max(0, frame.number - 7))] for frame in dataset.frames}
    split = make_instance_split(replace(dataset, given_split=given_sets))
    assert split.set_of() == given_sets
    assert split.optimistic
    assert "divides 2 groups (g00, g01): 100 % of the validation frames and 100 %" in split.optimistic_reason


class TestLoading:
    @pytest.fixture
    def saved(self, tmp_path):
        dataset = made_of([3, 3, 3, 3])
        path = tmp_path / "splits.json"
        split = make_instance_split(dataset)
        save_split(split, path)
        return dataset, path, split

    def test_what_was_saved_is_loaded(self, saved):
        dataset, path, split = saved
        assert load_instance_split(path, dataset) == split

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda sets: sets["test"].append("gone"), "frames that the dataset does not have: gone"),
            (lambda sets: sets["test"].clear(), "test is empty"),
            (lambda sets: sets["test"].append(sets["train"][0]), "must be in one set only, and once"),
            (lambda sets: sets["test"].append(sets["train"].pop()), "a group must be in one set only"),
            (lambda sets: sets.pop("seed"), "not a split"),
        ],
    )
    def test_mistakes_of_an_edit_are_named(self, saved, change, message):
        dataset, path, _ = saved
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
        with pytest.raises(SplitError, match=message):
            load_instance_split(path, dataset)

    def test_frames_may_be_left_out_and_groups_divided_when_marked(self, saved):
        dataset, path, _ = saved
        content = json.loads(path.read_text())
        content["train"].pop()
        content["test"].append(content["train"].pop())
        content["optimistic"] = True
        path.write_text(json.dumps(content))
        assert load_instance_split(path, dataset).optimistic


@pytest.mark.parametrize("name", ["dsb2018", "borrat", "kidney_stone_boxes", "davis_mini"])
def test_real_datasets_are_divided_by_group(shared_data, name):
    dataset = open_instances(shared_data(name))
    split = make_instance_split(dataset)
    assert not split.optimistic
    groups = [{dataset.frame(frame).group for frame in members} for members in split.sets().values()]
    assert all(groups)
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]


def test_the_one_camera_of_the_classroom_is_cut_into_stretches(shared_data):
    dataset = open_instances(shared_data("bav_classroom"))
    split = make_instance_split(dataset)
    assert split.optimistic
    assert sum(map(len, split.sets().values())) == 44
    assert all(number < 0.5 for number in judge_split(dataset, split).values())
