"""Tests of the batches: a pure function of (seed, step, position), whatever the number of workers."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
import torch

from goodfit.errors import DatasetError
from goodfit.planning.plan import Configuration, NetworkPlan, PatchStage
from goodfit.preprocessing.locations import ANNOTATED
from goodfit.tasks.segmentation.augmentation import apply, augmentation_settings
from goodfit.tasks.segmentation.augmentation.draw import draw
from goodfit.tasks.segmentation.positions import choose_start, copy_crop
from goodfit.tasks.segmentation.sampling import (
    KEEP_BYTES,
    Batch,
    PatchDataset,
    fixed_patches,
    patch_loader,
    room_for_cases,
)
from goodfit.tasks.streams import Purpose, stream

CASCADE = {"name": "3d_cascade_fullres", "previous_stage": "3d_lowres"}
NAMES = tuple(f"case_{number}" for number in range(7))


@dataclass(frozen=True)
class MemoryCase:
    image: Any
    label: Any
    locations: dict[int, np.ndarray]


@dataclass
class MemoryStore:
    cases: dict[str, MemoryCase]
    opened: Counter[str] = dataclasses.field(default_factory=Counter)

    def case(self, name: str) -> MemoryCase:
        self.opened[name] += 1
        return self.cases[name]


def make_case(seed: int, channels: int = 2) -> MemoryCase:
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(7, 15, size=3))
    label = np.zeros((1, *shape), dtype=np.int8)
    low = [int(generator.integers(0, length - 3)) for length in shape]
    label[0, low[0] : low[0] + 3, low[1] : low[1] + 3, low[2] : low[2] + 3] = 1
    label[0, 0] = -1
    image = generator.standard_normal((channels, *shape)).astype(np.float32)
    return MemoryCase(image, label, {1: np.argwhere(label[0] == 1).astype(np.int32)})


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore({name: make_case(number) for number, name in enumerate(NAMES)})


def configuration(patch: tuple[int, ...] = (8, 6, 10), batch_size: int = 4) -> Configuration:
    network = NetworkPlan(
        architecture="plain_unet",
        features=[8],
        kernel_sizes=[[3] * len(patch)],
        strides=[[1] * len(patch)],
        encoder_blocks=[2],
        decoder_blocks=[],
    )
    return Configuration(
        name="2d" if len(patch) == 2 else "3d_fullres",
        spacing=[1.0, 1.0, 1.0],
        median_shape=[10.0, 10.0, 10.0],
        patch_size=list(patch),
        batch_size=batch_size,
        batch_dice=False,
        network=network,
    )


def dataset(store: Any, patch: tuple[int, ...] = (8, 6, 10), seed: int = 3, **options: Any) -> PatchDataset:
    plan = configuration(patch)
    return PatchDataset(store, NAMES, plan, seed=seed, augmentation=augmentation_settings(plan), **options)


def assert_equal(first: Batch, second: Batch) -> None:
    assert (first.step, first.cases, first.parameters) == (second.step, second.cases, second.parameters)
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.labels, second.labels)


@pytest.mark.parametrize("patch", [(8, 6, 10), (8, 6)])
def test_shapes_and_types(store: MemoryStore, patch: tuple[int, ...]) -> None:
    batch = dataset(store, patch)[0]
    initial = augmentation_settings(configuration(patch)).initial_patch_size
    assert batch.images.shape == (4, 2, *initial)
    assert batch.labels.shape == (4, 1, *initial)
    assert (batch.images.dtype, batch.labels.dtype) == (torch.float32, torch.int16)
    assert batch.parameters is not None
    images, labels = apply(batch.images, batch.labels, batch.parameters)
    assert images.shape == (4, 2, *patch)
    assert labels.shape == (4, 1, *patch)


def test_a_batch_depends_on_seed_and_step_only(store: MemoryStore) -> None:
    first, second = dataset(store), dataset(store)
    forwards = [first[step] for step in range(8)]
    for step in reversed(range(8)):
        assert_equal(second[step], forwards[step])
    assert not torch.equal(dataset(store, seed=4)[0].images, forwards[0].images)
    assert not torch.equal(forwards[0].images, forwards[1].images)


def test_every_case_is_seen_equally_often(store: MemoryStore) -> None:
    names = [name for step in range(7) for name in dataset(store)[step].cases]
    passes = [tuple(names[first : first + 7]) for first in range(0, 28, 7)]
    assert all(sorted(names) == sorted(NAMES) for names in passes)
    assert len(set(passes)) > 1


def test_a_batch_larger_than_the_dataset(store: MemoryStore) -> None:
    batch = dataset(store, batch_size=21)[2]
    assert Counter(batch.cases) == dict.fromkeys(NAMES, 3)


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_gives_the_same_bits_with_any_workers(
    tmp_path: Path, store: MemoryStore, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    from file_store import FileStore

    for name, case in store.cases.items():
        for ending, array in (("", case.image), ("_seg", case.label)):
            blosc2.asarray(np.ascontiguousarray(array), urlpath=str(tmp_path / f"{name}{ending}.b2nd"), mode="w")
    files = dataset(FileStore(tmp_path, {name: case.locations for name, case in store.cases.items()}), keep_bytes=5000)
    state = torch.get_rng_state()
    with patch_loader(files, workers=workers) as loader:
        loaded = [*loader.batches(2, 9), *loader.batches(9, 11), *loader.batches(11, 12)]
    assert torch.equal(torch.get_rng_state(), state)
    assert [batch.step for batch in loaded] == list(range(2, 12))
    for batch in loaded:
        assert_equal(batch, dataset(store)[batch.step])


def test_a_case_that_cannot_be_read_is_named(store: MemoryStore) -> None:
    del store.cases["case_3"]
    patches = dataset(store)
    match = r"(?s)step \d \(cases .*case_3.*KeyError"
    with patch_loader(patches) as loader, pytest.raises(DatasetError, match=match) as caught:
        list(loader.batches(0, 2))
    step = int(str(caught.value).split()[1])
    assert ", ".join(dict.fromkeys(patches.cases_of(step))) in str(caught.value)


def test_names_of_cases_without_reading(store: MemoryStore) -> None:
    patches = dataset(store)
    named = [patches.cases_of(step) for step in range(5)]
    assert not store.opened
    assert named == [patches[step].cases for step in range(5)]


def test_workers_divide_the_memory_for_cases(store: MemoryStore) -> None:
    patches = dataset(store)
    assert patches.shared_by(0) is patches.shared_by(1) is patches
    shared = dataset(store, keep_bytes=100).shared_by(50)
    assert_equal(shared[3], patches[3])
    store.opened.clear()
    shared[3]
    shared[4]
    assert sum(store.opened.values()) > 0


@pytest.mark.parametrize("patch", [(45, 47, 43), (203, 191)])
@pytest.mark.parametrize("channels", [1, 2])
def test_parts_are_augmented_as_in_the_whole_batch(patch: tuple[int, ...], channels: int) -> None:
    # Sizes at which torch divides its work among threads.
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        seen = Counter[str]()
        settings = augmentation_settings(configuration(patch))
        for step in range(6):
            parameters = draw(settings, 1, step, 4, channels)
            generator = torch.Generator().manual_seed(step)
            shape = (4, channels, *settings.initial_patch_size)
            images = torch.randn(shape, generator=generator)
            labels = torch.randint(-1, 3, (4, 1, *shape[2:]), generator=generator, dtype=torch.int16)
            whole = Batch(images, labels, step, ("a", "b", "c", "d"), parameters)
            wanted = apply(images, labels, parameters)
            for start, stop in ((0, 1), (1, 2), (2, 4)):
                part = whole.part(start, stop)
                assert part.parameters is not None
                assert (len(part), part.step, part.cases) == (stop - start, step, whole.cases[start:stop])
                given = apply(part.images, part.labels, part.parameters)
                assert torch.equal(given[0], wanted[0][start:stop])
                assert torch.equal(given[1], wanted[1][start:stop])
            for name in ("contrast", "gamma", "gamma_inverted", "brightness", "noise", "rotation"):
                seen[name] += sum(getattr(sample, name) is not None for sample in parameters.samples)
        assert min(seen.values()) > 0
        assert len(seen) == 6
    finally:
        torch.set_num_threads(threads)


def test_parts_of_final_patches(store: MemoryStore) -> None:
    batch = PatchDataset(store, NAMES, configuration(), seed=0)[1]
    assert len(batch) == 4
    parts = [batch.part(0, 3), batch.part(3, 4)]
    assert parts[0].parameters is None
    assert torch.equal(torch.cat([part.images for part in parts]), batch.images)
    assert torch.equal(torch.cat([part.labels for part in parts]), batch.labels)
    assert parts[0].cases + parts[1].cases == batch.cases


def test_loader_ends_early_and_begins_in_the_middle(store: MemoryStore) -> None:
    with patch_loader(dataset(store)) as loader:
        head = list(itertools.islice(loader.batches(0, 10), 4))
        tail = list(loader.batches(4, 6))
        assert list(loader.batches(6, 6)) == []
    for step, batch in enumerate(head + tail):
        assert_equal(batch, dataset(store)[step])


@pytest.mark.parametrize("patch", [(8, 6, 10), (8, 6)])
def test_margins_left_empty_do_not_matter(store: MemoryStore, patch: tuple[int, ...]) -> None:
    settings = augmentation_settings(configuration(patch))
    flat = (1,) * (3 - len(patch))
    size, final = flat + settings.initial_patch_size, flat + patch
    at_rest = 0
    for step in range(6):
        batch = dataset(store, patch, oversample=0.0)[step]
        assert batch.parameters is not None
        images = torch.zeros(4, 2, *size)
        labels = torch.full((4, 1, *size), -1, dtype=torch.int16)
        for position, name in enumerate(batch.cases):
            case = store.cases[name]
            generator = stream(Purpose.PATCH_POSITION, 3, step * 4 + position)
            start = choose_start(generator, case.image.shape[1:], size, final, {})
            copy_crop(case.image, start, images[position].numpy())
            copy_crop(case.label, start, labels[position].numpy())
            at_rest += not batch.parameters.samples[position].moves
        wanted = apply(images.view_as(batch.images), labels.view_as(batch.labels), batch.parameters)
        given = apply(batch.images, batch.labels, batch.parameters)
        assert torch.equal(given[0], wanted[0])
        assert torch.equal(given[1], wanted[1])
    assert 0 < at_rest < 24


@pytest.mark.parametrize("patch", [(5, 5, 5), (5, 5)])
def test_foreground_positions_show_foreground(store: MemoryStore, patch: tuple[int, ...]) -> None:
    plan = configuration(patch)
    patches = PatchDataset(store, NAMES, plan, seed=0)
    shown = [[(label == 1).any().item() for label in patches[step].labels] for step in range(40)]
    assert all(row[3] for row in shown)
    assert not all(row[0] for row in shown)
    everywhere = PatchDataset(store, NAMES, plan, seed=0, oversample=1.0)
    assert all((label == 1).any() for step in range(20) for label in everywhere[step].labels)


def test_a_slice_of_a_volume_is_a_real_slice(store: MemoryStore) -> None:
    # The patch is larger than any case, which lies in its middle, give or take half a voxel.
    patches = PatchDataset(store, NAMES, configuration((30, 30)), seed=0, oversample=0.0)
    for step in range(10):
        batch = patches[step]
        for image, name in zip(batch.images, batch.cases, strict=True):
            source = torch.from_numpy(store.cases[name].image)
            height, width = source.shape[2:]
            tops, lefts = ({(30 - length) // 2, (31 - length) // 2} for length in (height, width))
            shown = [image[:, y : y + height, x : x + width] for y, x in itertools.product(tops, lefts)]
            assert any(torch.equal(part, source[:, z]) for part in shown for z in range(source.shape[1]))
            assert torch.count_nonzero(image) == torch.count_nonzero(source[:, 0])


def test_annotated_only(store: MemoryStore) -> None:
    place = np.array([[3, 3, 3]], dtype=np.int32)
    cases = {
        name: dataclasses.replace(case, locations={**case.locations, ANNOTATED: place})
        for name, case in store.cases.items()
    }
    plan = configuration((3, 3, 3))
    for batch in (PatchDataset(MemoryStore(cases), NAMES, plan, seed=0, annotated_only=True)[step] for step in (0, 1)):
        for image, name in list(zip(batch.images, batch.cases, strict=True))[:3]:
            assert torch.equal(image, torch.from_numpy(cases[name].image[:, 2:5, 2:5, 2:5]))


def test_fixed_patches_are_the_same_every_time(store: MemoryStore) -> None:
    patches = PatchDataset(store, NAMES, configuration(), seed=0)
    first, second = (list(fixed_patches(patches, 10)) for _ in range(2))
    assert [len(batch.cases) for batch in first] == [4, 4, 2]
    for one, other in zip(first, second, strict=True):
        assert_equal(one, other)
        assert one.images.shape[2:] == (8, 6, 10)
        assert one.labels.min() == 0
    # All cases once before any comes twice.
    assert len({name for batch in first for name in batch.cases[: len(batch.cases)]}) == 7


def test_kept_cases_are_read_once_and_give_the_same(store: MemoryStore) -> None:
    kept = dataset(store)
    batches = [kept[step] for step in range(6)]
    assert store.opened == dict.fromkeys(NAMES, 1)
    reading = dataset(store, keep_bytes=0)
    for step, batch in enumerate(batches):
        assert_equal(reading[step], batch)


def test_a_worker_does_not_get_the_open_cases(store: MemoryStore) -> None:
    patches = dataset(store)
    before = len(pickle.dumps(patches))
    batch = patches[0]
    assert len(pickle.dumps(patches)) < before + 1000
    assert_equal(pickle.loads(pickle.dumps(patches))[0], batch)


def test_the_labels_of_a_previous_stage_are_cut_and_moved_with_the_image(store: MemoryStore) -> None:
    # The previous stage says just what the reference does: so it must afterwards, as channels of the image.
    both = {
        name: dataclasses.replace(case, label=np.repeat(case.label, 2, axis=0)) for name, case in store.cases.items()
    }
    settings = augmentation_settings(configuration().model_copy(update=CASCADE), (), (1,))
    assert settings.previous is not None
    still = dataclasses.replace(settings, previous=dataclasses.replace(settings.previous, p_morphology=0, p_removal=0))
    moved = dataclasses.replace(settings, previous=None)
    plain = PatchDataset(store, NAMES, configuration(), seed=3, augmentation=moved)
    cascade = PatchDataset(MemoryStore(both), NAMES, configuration(), seed=3, augmentation=still)
    for step in range(5):
        batch, twin = cascade[step], plain[step]
        assert batch.labels.shape[1] == 2
        assert batch.parameters is not None
        assert twin.parameters is not None
        images, labels = apply(batch.images, batch.labels, batch.parameters)
        expected, same = apply(twin.images, twin.labels, twin.parameters)
        assert torch.equal(labels, same)
        assert torch.equal(images[:, :-1], expected)
        assert torch.equal(images[:, -1:] == 1, labels == 1)


def test_no_cases(store: MemoryStore) -> None:
    with pytest.raises(ValueError, match="no case"):
        PatchDataset(store, [], configuration(), seed=0)


@pytest.mark.parametrize(
    ("memory", "room"), [(2**30, KEEP_BYTES), (2**33, KEEP_BYTES), (2**35, 2**31), (2**35 + 0.5, 2**31)]
)
def test_cases_may_take_a_sixteenth_of_the_memory_and_half_a_gibibyte_in_any_case(memory: float, room: int) -> None:
    assert room_for_cases(memory) == room


def growing(store: Any) -> PatchDataset:
    stages = [
        PatchStage(until_step=2, patch_size=[4, 2, 6], batch_size=3),
        PatchStage(until_step=3, patch_size=[6, 4, 8], batch_size=5),
    ]
    plan = configuration().model_copy(update={"growth": stages})
    smaller = [augmentation_settings(plan.cut_as(stage)) for stage in stages]
    return PatchDataset(store, NAMES, plan, seed=3, augmentation=augmentation_settings(plan), smaller=smaller)


def test_patches_grow_at_their_steps(store: MemoryStore) -> None:
    patches = growing(store)
    shapes = []
    for step in range(5):
        batch = patches[step]
        assert batch.parameters is not None
        shapes.append(tuple(apply(batch.images, batch.labels, batch.parameters)[0].shape))
    assert shapes == [(3, 2, 4, 2, 6)] * 2 + [(5, 2, 6, 4, 8)] + [(4, 2, 8, 6, 10)] * 2


def test_growing_patches_take_the_cases_in_turn(store: MemoryStore) -> None:
    patches = growing(store)
    names = [name for step in range(6) for name in patches[step].cases]
    assert len(names) == 3 + 3 + 5 + 4 * 3
    assert all(sorted(names[first : first + 7]) == sorted(NAMES) for first in (0, 7, 14))
    assert [name for step in range(6) for name in patches.cases_of(step)] == names


def test_a_growing_batch_depends_on_seed_and_step_only(store: MemoryStore) -> None:
    forwards = [growing(store)[step] for step in range(5)]
    patches = growing(store)
    for step in reversed(range(5)):
        assert_equal(patches[step], forwards[step])
