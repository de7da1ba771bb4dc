"""What is written comes back the same, with the geometry it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK

from goodfit.data.geometry import Geometry
from goodfit.data.readers import read_label, write_label, write_probabilities
from goodfit.errors import ImageFileError

if TYPE_CHECKING:
    from pathlib import Path

SOLID = Geometry((3.0, 0.75, 0.5), (10.0, -20.0, 30.0), (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0), 3)
FLAT = Geometry((999.0, 1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0), 2)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha", ".mhd"])
def test_volume_label_round_trip(tmp_path: Path, ending: str) -> None:
    label = np.random.default_rng(0).integers(0, 4, (4, 5, 6)).astype(np.int16)
    file = tmp_path / "new" / f"case.1{ending}"
    write_label(file, label, SOLID)
    back, geometry = read_label(file)
    np.testing.assert_array_equal(back, label)
    assert geometry.spacing == pytest.approx(SOLID.spacing)
    assert geometry.origin == pytest.approx(SOLID.origin)
    assert geometry.direction == pytest.approx(SOLID.direction, abs=1e-6)
    assert SimpleITK.ReadImage(str(file)).GetPixelID() == SimpleITK.sitkUInt8
    write_label(file, label + 300, SOLID)
    np.testing.assert_array_equal(read_label(file)[0], label + 300)
    assert not list(file.parent.glob(".writing*"))


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".nii.gz"])
def test_flat_label_round_trip(tmp_path: Path, ending: str) -> None:
    label = np.random.default_rng(0).integers(0, 4, (1, 5, 6)).astype(np.int16)
    write_label(tmp_path / f"a{ending}", label, FLAT)
    back, geometry = read_label(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(back, label)
    assert geometry == FLAT


def test_tiff_volume_label_round_trip(tmp_path: Path) -> None:
    label = np.random.default_rng(0).integers(0, 4, (4, 5, 6)).astype(np.int16)
    write_label(tmp_path / "a.tif", label, SOLID)
    np.testing.assert_array_equal(read_label(tmp_path / "a.tif")[0], label)


def test_lossy_unknown_and_impossible_are_refused(tmp_path: Path) -> None:
    label = np.zeros((1, 5, 6), dtype=np.int16)
    for name in ("a.jpg", "a.txt", "a"):
        with pytest.raises(ImageFileError, match="cannot be written in this format"):
            write_label(tmp_path / name, label, FLAT)
    with pytest.raises(ImageFileError, match="start at -1"):
        write_label(tmp_path / "a.png", label - 1, FLAT)
    with pytest.raises(ImageFileError, match="holds one slice"):
        write_label(tmp_path / "a.png", np.zeros((2, 5, 6), dtype=np.int16), SOLID)
    with pytest.raises(ImageFileError, match="could not be written"):
        write_label(tmp_path / "a.bmp", label.astype(np.int32) + 70000, FLAT)
    assert not list(tmp_path.iterdir())


def test_probabilities(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((3, 4, 5, 6), dtype=np.float32)
    write_probabilities(tmp_path / "a.npz", values)
    with np.load(tmp_path / "a.npz") as back:
        assert back["probabilities"].dtype == np.float16
        np.testing.assert_allclose(back["probabilities"], values, atol=1e-3)
    write_probabilities(tmp_path / "a.npz", values, half=False)
    with np.load(tmp_path / "a.npz") as back:
        np.testing.assert_array_equal(back["probabilities"], values)
