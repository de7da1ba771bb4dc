"""Tests of the previous stage's labels on disk."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest

from goodfit.errors import DatasetError
from goodfit.tasks.segmentation.cascade.inputs import CascadePatches, PreviousStageInputs

if TYPE_CHECKING:
    from pathlib import Path


LOCATIONS = {1: np.array([[1, 2, 3]], dtype=np.int32)}


class OneCase:
    """A store of one case in memory, and that case."""

    image = np.random.default_rng(0).normal(size=(2, 5, 6, 7)).astype(np.float32)
    label = np.random.default_rng(1).integers(-1, 3, (1, 5, 6, 7)).astype(np.int8)

    @property
    def locations(self) -> dict[int, np.ndarray]:
        return LOCATIONS

    def case(self, name: str) -> OneCase:
        return self


@pytest.fixture
def patches(tmp_path: Path) -> CascadePatches:
    return CascadePatches(OneCase(), PreviousStageInputs(tmp_path / "inputs"))


def test_labels_are_read_beside_the_reference(patches: CascadePatches) -> None:
    previous = np.random.default_rng(2).integers(0, 300, (5, 6, 7)).astype(np.int32)
    patches.inputs.write("a", previous, (4, 4, 4))
    assert patches.inputs.has("a")
    case = patches.case("a")
    both = np.concatenate([OneCase.label, previous[None]])
    assert case.label.shape == (2, 5, 6, 7)
    assert np.array_equal(case.label[...], both)
    part = (slice(None), slice(1, 3), slice(0, 6), slice(2, 7))
    assert np.array_equal(case.label[part], both[part])
    assert case.image is OneCase.image
    assert case.locations is LOCATIONS


def test_a_case_that_was_not_predicted_is_named(patches: CascadePatches) -> None:
    assert not patches.inputs.has("b")
    with pytest.raises(DatasetError, match="has not predicted case b"):
        patches.case("b")


def test_labels_of_another_grid_are_refused(patches: CascadePatches) -> None:
    patches.inputs.write("a", np.zeros((5, 6, 8), dtype=np.uint8), (4, 4, 4))
    with pytest.raises(DatasetError, match=r"case a has the shape \(5, 6, 8\)"):
        patches.case("a")


def test_workers_get_it_by_pickle(patches: CascadePatches) -> None:
    patches.inputs.write("a", np.ones((5, 6, 7), dtype=np.uint8), (4, 4, 4))
    copied = pickle.loads(pickle.dumps(patches))
    assert np.array_equal(copied.case("a").label[...], patches.case("a").label[...])
