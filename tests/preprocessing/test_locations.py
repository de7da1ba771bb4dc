from __future__ import annotations

import numpy as np
import pytest

from goodfit.data.labels import Labels
from goodfit.preprocessing import locations as module
from goodfit.preprocessing.locations import ANNOTATED, find_locations

PLAIN = Labels({"organ": (1,), "lesion": (3,), "absent": (7,)})
REGIONS = Labels({"whole": (1, 2), "core": (2,)}, regions_order=(1, 2))


@pytest.fixture
def label() -> np.ndarray:
    volume = np.random.default_rng(0).integers(-1, 5, (1, 6, 7, 8)).astype(np.int8)
    volume[0, 0, 0, 0] = 1
    return volume


def test_every_voxel_of_a_small_class_is_there(label: np.ndarray) -> None:
    found = find_locations(label, PLAIN, "a")

    assert sorted(found) == [1, 3, 7]
    assert found[7].shape == (0, 3)
    for value in (1, 3):
        assert found[value].dtype == np.int32
        assert found[value].tolist() == np.argwhere(label[0] == value).tolist()


def test_regions_are_unions_keyed_by_index(label: np.ndarray) -> None:
    found = find_locations(label, REGIONS, "a")

    assert sorted(found) == [0, 1]
    assert found[0].tolist() == np.argwhere(np.isin(label[0], (1, 2))).tolist()
    assert found[1].tolist() == np.argwhere(label[0] == 2).tolist()


def test_annotated_voxels_are_there_only_with_an_ignore_label(label: np.ndarray) -> None:
    found = find_locations(label, Labels({"organ": (1,)}, ignore=4), "a")

    assert ANNOTATED not in find_locations(label, PLAIN, "a")
    assert found[ANNOTATED].tolist() == np.argwhere(label[0] != 4).tolist()


def test_a_large_class_is_drawn_from_without_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LOCATIONS", 50)
    label = np.zeros((1, 20, 20, 20), dtype=np.int8)
    label[:, :10] = 1

    found = find_locations(label, Labels({"organ": (1,)}), "a")[1]

    assert len(found) == 50
    assert len(np.unique(found, axis=0)) == 50
    assert found[:, 0].max() < 10


def test_at_least_a_hundredth_of_a_huge_class_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LOCATIONS", 5)

    found = find_locations(np.ones((1, 10, 10, 10), dtype=np.int8), Labels({"organ": (1,)}), "a")[1]

    assert len(found) == 10


def test_the_draw_depends_on_the_case_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LOCATIONS", 20)
    label = np.ones((1, 10, 10, 10), dtype=np.int8)
    labels = Labels({"organ": (1,)})

    first, again, other = (find_locations(label, labels, name)[1].tolist() for name in ("a", "a", "b"))

    assert first == again
    assert first != other
