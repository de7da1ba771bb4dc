from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from goodfit.planning.instances.plan import InstanceAugmentation
from goodfit.tasks.instances.sampling import InstanceFrames, WeightedOrder

weights = st.lists(st.floats(0, 100, allow_subnormal=False).map(lambda w: round(w, 3)), min_size=1, max_size=30)
positive = weights.filter(lambda values: max(values) > 0)


@given(positive, st.integers(0, 2**32), st.integers(0, 20))
def test_no_frame_comes_twice_in_a_pass(values, seed, number) -> None:
    order = WeightedOrder(values, seed)
    drawn = [order.frame(number * order.length + offset) for offset in range(order.length)]
    assert len(set(drawn)) == order.length or order.length == 1
    assert all(values[place] > 0 for place in drawn)


@given(positive, st.integers(0, 2**32))
def test_frames_come_as_often_as_their_weights_say(values, seed) -> None:
    order = WeightedOrder(values, seed)
    passes = 60
    counts = Counter(order.frame(index) for index in range(passes * order.length))
    for place, weight in enumerate(values):
        expected = passes * order.length * weight / sum(values)
        # Points that move by the golden ratio stay within a few of what is due, however many passes there were.
        assert abs(counts[place] - expected) <= 5


def test_equal_weights_make_shuffled_passes() -> None:
    order = WeightedOrder(np.ones(10), 3)
    first, second = ([order.frame(start + offset) for offset in range(10)] for start in (0, 10))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert first != sorted(first)


def test_any_index_can_be_asked_for_first() -> None:
    values = [1, 0.2, 0.7, 0.4]
    order = WeightedOrder(values, 1)
    forward = [order.frame(index) for index in range(50)]
    backward = [WeightedOrder(values, 1).frame(index) for index in reversed(range(50))]
    assert backward == forward[::-1]
    assert forward != [WeightedOrder(values, 2).frame(index) for index in range(50)]


@pytest.mark.parametrize("values", [[], [0.0], [1.0, -1.0], [float("nan")], [float("inf")]])
def test_weights_that_cannot_be(values) -> None:
    with pytest.raises(ValueError, match="weights of frames"):
        WeightedOrder(values, 0)


def _dataset(world, **options) -> InstanceFrames:
    frames = [world.frame(f"frame{number}", objects=number % 4) for number in range(5)]
    options = {
        "masks": True,
        "seed": 7,
        "batch_size": 3,
        "augmentation": InstanceAugmentation(quarter_turns=0.5),
    } | options
    return InstanceFrames(world.store, frames, **options)


def _same(one, other) -> bool:
    targets = zip(one.targets, other.targets, strict=True)
    return (
        one.cases == other.cases
        and all(torch.equal(a, b) for a, b in zip(one.images, other.images, strict=True))
        and all(np.array_equal(a.boxes, b.boxes) and np.array_equal(a.labels, b.labels) for a, b in targets)
    )


def test_a_batch_is_a_pure_function_of_seed_and_step(world) -> None:
    dataset = _dataset(world)
    batches = [dataset[step] for step in range(4)]
    copy = pickle.loads(pickle.dumps(dataset))
    assert all(_same(copy[step], batches[step]) for step in (3, 0, 2))
    assert not _same(_dataset(world, seed=8)[0], batches[0])
    assert [batch.cases for batch in batches] == [dataset.cases_of(step) for step in range(4)]


def test_memory_for_masks_is_bounded_and_changes_nothing(world) -> None:
    small, large = _dataset(world, keep_bytes=0), _dataset(world)
    assert all(_same(small[step], large[step]) for step in range(3))


def test_a_batch_in_parts(world) -> None:
    batch = _dataset(world)[1]
    part = batch.part(1, 3)
    assert len(batch) == 3
    assert len(part) == 2
    assert part.cases == batch.cases[1:]
    images, targets = part.tensors(torch.device("cpu"))
    assert torch.equal((images[0] * 255).round().byte(), batch.images[1])
    assert float(images[0].max()) <= 1
    assert targets[0]["masks"].shape[1:] == images[0].shape[1:]


def test_masks_only_where_they_are_asked_for(world) -> None:
    _, targets = _dataset(world, masks=False)[0].tensors(torch.device("cpu"))
    assert all("masks" not in target for target in targets)


def test_listed_frames_are_unchanged(world) -> None:
    dataset = _dataset(world)
    batch = dataset.listed([2, 0])
    assert batch.cases == ("frame2", "frame0")
    assert np.array_equal(batch.images[0].permute(1, 2, 0).numpy(), world.images["frame2"])


def test_no_frames_or_wrong_weights(world) -> None:
    with pytest.raises(ValueError, match="no frame"):
        InstanceFrames(world.store, [], masks=True, seed=0, batch_size=1)
    with pytest.raises(ValueError, match="2 weights for 5 frames"):
        _dataset(world, weights=[1, 1])
