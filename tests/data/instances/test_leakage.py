from __future__ import annotations

import pytest

from goodfit.data.instances.dataset import open_instances
from goodfit.data.instances.leakage import Leak, judge_split, near_duplicates
from goodfit.data.splits import Split


def split(train, validation=(), test=()):
    return Split(seed=0, source="test", train=list(train), validation=list(validation), test=list(test))


@pytest.mark.parametrize(("window", "expected"), [(0, 0.0), (9, 0.0), (10, 0.5), (30, 1.0)])
def test_neighbours_in_time_within_the_video(make_videos, window, expected):
    dataset = open_instances(make_videos((4, 4, 2), save=True, step=10))
    made = split(["v0_0000", "v1_0003"], ["v0_0001", "v0_0003"], ["v2_0000"])
    assert judge_split(dataset, made, window) == {"validation": expected, "test": 0.0}


def test_sets_without_frames_are_not_judged(make_videos):
    dataset = open_instances(make_videos())
    assert judge_split(dataset, split(["v0_0000"], ["v0_0001"])) == {"validation": 1.0}


def test_look_alikes_are_listed_with_the_nearest_training_frame():
    hashes = {"a": 0b1111, "b": 0b0111, "c": 2**64 - 1, "d": 0b0011, "e": 2**63}
    made = split(["a", "b"], ["c", "d"], ["e", "unread"])
    assert near_duplicates(hashes, made) == [Leak("d", "validation", "b", 1), Leak("e", "test", "b", 4)]
    assert near_duplicates(hashes, made, 3) == [Leak("d", "validation", "b", 1)]
    assert near_duplicates({}, made) == []
