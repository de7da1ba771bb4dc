from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from goodfit.data.dataset import open_dataset
from goodfit.data.readers import read_image
from goodfit.errors import DatasetError
from goodfit.interop.nnunet.case_store import NnunetStore, original_image
from goodfit.preprocessing.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.planning.plan import Plan


@pytest.fixture
def stores(preprocess: Callable[..., Path], tiny_plan: Callable[..., Plan]) -> tuple[NnunetStore, Store]:
    """The same arrays as nnU-Net's and as goodfit's."""
    folder = preprocess(with_our_files=True)
    plan = tiny_plan()
    references = {case.name: case.label for case in open_dataset(folder).cases if case.label is not None}
    arrays = folder / "nnUNetPlans_3d_fullres"
    return NnunetStore(arrays, plan.data, plan.chosen, references), Store(arrays)


def test_a_case_reads_the_same_with_and_without_goodfits_own_files(stores: tuple[NnunetStore, Store]) -> None:
    theirs, ours = stores
    assert theirs.names() == ours.names() == [f"c{case}" for case in range(6)]
    for name in theirs.names():
        read, expected = theirs.case(name), ours.case(name)
        assert read.properties == expected.properties
        assert np.array_equal(read.image[:], expected.image[:])
        assert np.array_equal(read.label[:], expected.label[:])
        assert read.locations.keys() == expected.locations.keys()
        assert all(np.array_equal(read.locations[key], expected.locations[key]) for key in read.locations)


def test_a_case_without_one_of_its_files_is_not_there(stores: tuple[NnunetStore, Store]) -> None:
    store, _ = stores
    (store.folder / "c1_seg.b2nd").unlink()
    assert "c1" not in store.names()
    for name in ("c1", "other"):
        with pytest.raises(DatasetError, match=f"case {name} is not preprocessed"):
            store.case(name)


def test_a_picture_has_the_grid_of_the_file(stores: tuple[NnunetStore, Store], raw: Path) -> None:
    store, _ = stores
    image, original = original_image(store.case("c2")), read_image([raw / "imagesTr" / "c2_0000.nii.gz"])
    assert image.array.shape == original.array.shape
    assert image.geometry == original.geometry
    inside = original.array[0, :, :, :12]
    assert np.corrcoef(image.array[0, :, :, :12].ravel(), inside.ravel())[0, 1] > 0.9
    assert (image.array[0, :, :, 12:] == image.array.min()).all()
