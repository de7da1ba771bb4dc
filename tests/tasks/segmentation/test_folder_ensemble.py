"""Averaging folders of probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from goodfit.data.geometry import Geometry
from goodfit.data.labels import Labels
from goodfit.data.readers import read_label, write_label, write_probabilities
from goodfit.errors import DatasetError
from goodfit.tasks.segmentation.folder_ensemble import average_probabilities, ensemble_cases, match_cases

if TYPE_CHECKING:
    from pathlib import Path

LABELS = Labels({"a": (1,), "b": (7,)})
PLACE = Geometry((3.0, 2.0, 1.0), (5.0, 6.0, 7.0), (0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0), 3)


def folder(parent: Path, name: str, seed: int, cases: tuple[str, ...] = ("x", "y")) -> dict[str, np.ndarray]:
    """Probabilities and a label file for each case."""
    random = np.random.default_rng(seed)
    made = {}
    for case in cases:
        chances = random.random((3, 4, 5, 6)).astype(np.float16)
        write_probabilities(parent / name / f"{case}.npz", chances)
        write_label(parent / name / f"{case}.nii.gz", np.zeros((4, 5, 6), np.uint8), PLACE)
        made[case] = chances
    return made


def test_labels_come_from_the_mean_in_the_geometry_of_the_first(tmp_path: Path) -> None:
    first, second = folder(tmp_path, "one", 1), folder(tmp_path, "two", 2)
    progress: list[tuple[int, int]] = []
    cases = match_cases([tmp_path / "one", tmp_path / "two"])
    written = ensemble_cases(
        cases, tmp_path / "out", LABELS, probabilities=True, on_progress=lambda *done: progress.append(done)
    )
    assert [file.name for file in written] == ["x.nii.gz", "y.nii.gz"]
    for file, case in zip(written, "xy", strict=True):
        label, geometry = read_label(file)
        mean = (first[case].astype(np.float32) + second[case]) / 2
        assert np.array_equal(label, np.array([0, 1, 7])[mean.argmax(0)])
        assert geometry.spacing == PLACE.spacing
        assert np.array_equal(np.load(tmp_path / "out" / f"{case}.npz")["probabilities"], mean.astype(np.float16))
    assert progress[-1] == (2, 2)


def test_regions_above_a_half_write_in_order(tmp_path: Path) -> None:
    labels = Labels({"whole": (1, 2, 3), "core": (2, 3), "rim": (3,)}, regions_order=(1, 2, 3))
    chances = folder(tmp_path, "one", 1, ("x",))["x"].astype(np.float32)
    (file,) = ensemble_cases({"x": [tmp_path / "one" / "x.npz"] * 2}, tmp_path / "out", labels)
    expected = np.zeros((4, 5, 6))
    for region, value in zip(chances, (1, 2, 3), strict=True):
        expected[region > 0.5] = value
    assert np.array_equal(read_label(file)[0], expected)


def test_missing_cases_are_named(tmp_path: Path) -> None:
    folder(tmp_path, "one", 1)
    folder(tmp_path, "two", 2, ("x",))
    with pytest.raises(DatasetError, match="two: y are in another folder and not here"):
        match_cases([tmp_path / "one", tmp_path / "two"])
    (tmp_path / "three").mkdir()
    with pytest.raises(DatasetError, match=r"three: holds no probabilities \(\.npz\)"):
        match_cases([tmp_path / "one", tmp_path / "three"])
    with pytest.raises(DatasetError, match="four: there is no such folder"):
        match_cases([tmp_path / "four"])


def test_damaged_and_foreign_files_are_named_and_the_others_written(tmp_path: Path) -> None:
    folder(tmp_path, "one", 1, ("x", "y", "z"))
    (tmp_path / "one" / "y.npz").write_bytes(b"PK nothing")
    (tmp_path / "one" / "z.nii.gz").unlink()
    cases = {case: [tmp_path / "one" / f"{case}.npz"] for case in "xyz"}
    with pytest.raises(DatasetError, match="2 of 3 cases could not be averaged") as caught:
        ensemble_cases(cases, tmp_path / "out", LABELS)
    assert "y.npz: holds no probabilities that can be read" in str(caught.value)
    assert "z.npz: has no label file beside it" in str(caught.value)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["x.nii.gz"]


def test_a_pickle_in_the_file_is_not_executed(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, ...]:
            return (tmp_path.joinpath("harm").write_text, ("done",))

    np.savez(tmp_path / "x.npz", probabilities=np.array([Harm()], dtype=object))
    with pytest.raises(DatasetError, match="holds no probabilities that can be read"):
        average_probabilities([tmp_path / "x.npz"])
    assert not (tmp_path / "harm").exists()


def test_other_shapes_and_classes_are_refused(tmp_path: Path) -> None:
    folder(tmp_path, "one", 1, ("x",))
    write_probabilities(tmp_path / "two" / "x.npz", np.zeros((3, 4, 5, 7)))
    with pytest.raises(DatasetError, match=r"shape \(3, 4, 5, 7\), those in"):
        average_probabilities([tmp_path / "one" / "x.npz", tmp_path / "two" / "x.npz"])
    with pytest.raises(DatasetError, match=r"expected .* for 2 outputs"):
        ensemble_cases({"x": [tmp_path / "one" / "x.npz"]}, tmp_path / "out", Labels({"a": (1,)}))
