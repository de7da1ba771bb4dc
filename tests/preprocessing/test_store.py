from __future__ import annotations

import math
import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.data.geometry import Geometry
from goodfit.data.labels import Labels
from goodfit.errors import DatasetError
from goodfit.preprocessing import store as module
from goodfit.preprocessing.locations import find_locations
from goodfit.preprocessing.properties import CaseProperties
from goodfit.preprocessing.store import BLOCK_BYTES, CHUNK_BYTES, Store, chunk_shapes, link_case, write_case

if TYPE_CHECKING:
    from pathlib import Path

LABELS = Labels({"organ": (1,), "lesion": (2,)})
SHAPE = (8, 30, 26)
GEOMETRY = Geometry(
    spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), direction=(1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), dims=3
)
PROPERTIES = CaseProperties(
    geometry=GEOMETRY,
    transpose=(0, 1, 2),
    shape_before_crop=SHAPE,
    bbox=((0, 8), (0, 30), (0, 26)),
    shape_after_crop=SHAPE,
    shape=SHAPE,
    spacing=(1.0, 1.0, 1.0),
)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)


@pytest.fixture
def label() -> np.ndarray:
    return np.random.default_rng(1).integers(-1, 3, (1, *SHAPE)).astype(np.int8)


def _write(folder: Path, name: str, image: np.ndarray, label: np.ndarray) -> None:
    locations = find_locations(label, LABELS, name)
    write_case(
        folder,
        name,
        image,
        label,
        properties=PROPERTIES,
        locations=locations,
        labels=LABELS,
        patch_size=(8, 16, 16),
    )


def test_what_was_written_is_read(tmp_path: Path, image: np.ndarray, label: np.ndarray) -> None:
    _write(tmp_path, "b", image, label)
    _write(tmp_path, "a.1", image, label)

    store = Store(tmp_path)
    case = store.case("b")

    assert store.names() == ["a.1", "b"]
    assert store.is_complete("a.1")
    assert case.image.dtype == np.float32
    assert case.label.dtype == np.int8
    assert np.array_equal(case.image[:, 2:5, 3:20, 7:], image[:, 2:5, 3:20, 7:])
    assert np.array_equal(case.label[:], label)
    assert case.properties == PROPERTIES
    expected = find_locations(label, LABELS, "b")
    assert {key: found.tolist() for key, found in case.locations.items()} == {
        key: found.tolist() for key, found in expected.items()
    }


def test_the_data_folder_holds_only_what_nnunet_allows(tmp_path: Path, image: np.ndarray, label: np.ndarray) -> None:
    _write(tmp_path, "a", image, label)

    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["a.b2nd", "a.pkl", "a_seg.b2nd"]
    described = pickle.loads((tmp_path / "a.pkl").read_bytes())
    assert described["class_locations"][1].shape[1] == 4


def test_a_case_whose_writing_broke_off_is_not_there(
    tmp_path: Path, image: np.ndarray, label: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, "a", image, label)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "case_properties", fail)
    with pytest.raises(KeyboardInterrupt):
        _write(tmp_path, "a", image + 1, label)

    store = Store(tmp_path)
    assert store.names() == []
    assert not store.is_complete("a")
    assert not list(tmp_path.rglob(".writing-*"))
    with pytest.raises(DatasetError, match=r"case a is not preprocessed\. Run `goodfit preprocess` again"):
        store.case("a")


@pytest.mark.parametrize("file", ["a.b2nd", "a_seg.b2nd", "goodfit/cases/a.npz"])
def test_a_damaged_case_is_not_complete(tmp_path: Path, image: np.ndarray, label: np.ndarray, file: str) -> None:
    _write(tmp_path, "a", image, label)
    assert Store(tmp_path).is_complete("a")

    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:-10])

    assert not Store(tmp_path).is_complete("a")


def test_a_lost_array_is_reported_with_its_path(tmp_path: Path, image: np.ndarray, label: np.ndarray) -> None:
    _write(tmp_path, "a", image, label)
    (tmp_path / "a_seg.b2nd").unlink()

    with pytest.raises(DatasetError, match=r"a_seg\.b2nd: there is no such file"):
        _ = Store(tmp_path).case("a").label


@pytest.mark.parametrize("can_link", [True, False])
def test_a_second_folder_shares_the_arrays(
    tmp_path: Path, image: np.ndarray, label: np.ndarray, can_link: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path / "first", "a", image, label)
    if not can_link:

        def refuse(*_: object) -> None:
            raise OSError

        monkeypatch.setattr(module.os, "link", refuse)

    link_case(tmp_path / "first", tmp_path / "second", "a", PROPERTIES)

    second = Store(tmp_path / "second")
    assert second.is_complete("a")
    assert np.array_equal(second.case("a").image[:], image)
    shared = (tmp_path / "first" / "a.b2nd").samefile(tmp_path / "second" / "a.b2nd")
    assert shared == can_link


def test_rewriting_a_linked_case_leaves_the_other_alone(tmp_path: Path, image: np.ndarray, label: np.ndarray) -> None:
    _write(tmp_path / "first", "a", image, label)
    link_case(tmp_path / "first", tmp_path / "second", "a", PROPERTIES)

    _write(tmp_path / "second", "a", image + 1, label)

    assert np.array_equal(Store(tmp_path / "first").case("a").image[:], image)


@given(
    st.tuples(st.integers(1, 3), *[st.integers(1, 700)] * 3),
    st.lists(st.integers(1, 300), min_size=2, max_size=3),
    st.sampled_from([1, 2, 4]),
)
def test_chunks_and_blocks_fit_caches_and_array(shape: tuple[int, ...], patch: list[int], itemsize: int) -> None:
    chunk, block = chunk_shapes(shape, patch, itemsize)

    assert chunk[0] == block[0] == 1
    assert math.prod(chunk) * itemsize <= CHUNK_BYTES
    assert math.prod(block) * itemsize <= BLOCK_BYTES
    assert all(1 <= b <= c <= length for b, c, length in zip(block, chunk, shape, strict=True))
    if len(patch) == 2:
        assert block[1] == 1
