"""Classes and channels taken from the files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import SimpleITK

from goodfit.data.inferring import infer_channels, infer_labels
from goodfit.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path


def save(path: Path, array: Any) -> Path:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array, isVector=array.ndim == 3), str(path))
    return path


def test_labels_are_named_after_their_values(tmp_path: Path) -> None:
    first = save(tmp_path / "a.png", np.array([[0, 3], [3, 0]], dtype=np.uint8))
    second = save(tmp_path / "b.png", np.array([[0, 200], [1, 0]], dtype=np.uint8))
    (tmp_path / "c.png").write_bytes(b"broken")
    labels = infer_labels([first, second, tmp_path / "c.png"], tmp_path)
    assert labels.classes == {"1": (1,), "3": (3,), "200": (200,)}


def test_no_class_at_all(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no label file holds a class"):
        infer_labels([save(tmp_path / "a.png", np.zeros((2, 2), dtype=np.uint8))], tmp_path)


def test_channels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    colour = save(tmp_path / "a.png", rng.integers(0, 255, (4, 5, 3)).astype(np.uint8))
    grey = save(tmp_path / "b.png", rng.integers(0, 255, (4, 5)).astype(np.uint8))
    assert infer_channels([(colour,)]) == ("R", "G", "B")
    assert infer_channels([(grey,), (colour,)]) == ("R", "G", "B")
    assert infer_channels([(grey,)]) == ("0",)
    assert infer_channels([(grey, grey)]) == ("0", "1")
    (tmp_path / "c.png").write_bytes(b"broken")
    assert infer_channels([(tmp_path / "c.png",), (grey,)]) == ("0",)
    with pytest.raises(DatasetError, match=r"c\.png"):
        infer_channels([(tmp_path / "c.png",)])
