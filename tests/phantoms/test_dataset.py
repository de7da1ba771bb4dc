from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK
from scipy.ndimage import binary_dilation, binary_erosion, label

from goodfit.data.checks import check_dataset
from goodfit.data.dataset import open_dataset
from goodfit.errors import DatasetError
from goodfit.files import write_json
from goodfit.phantoms import write_phantoms
from goodfit.phantoms.anatomy import CLASSES
from goodfit.phantoms.dataset import SHAPE, SPACING, Phantom, make_phantom

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [make_phantom(0, case) for case in range(10)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("phantoms") / "Dataset900_Phantoms", cases=6, seed=3)


def best_interval_dice(phantoms: list[Phantom], value: int) -> npt.NDArray[np.float64]:
    """Dice of each case under the intensity interval that suits this very case best (10 HU steps)."""
    edges = np.arange(-1030, 800, 10)
    best = []
    for phantom in phantoms:
        chosen = phantom.label == value
        inside = np.concatenate([[0], np.histogram(phantom.image[chosen], edges)[0].cumsum()])
        everywhere = np.concatenate([[0], np.histogram(phantom.image, edges)[0].cumsum()])
        overlap = inside[None, :] - inside[:, None]
        selected = everywhere[None, :] - everywhere[:, None]
        best.append((2 * overlap / (selected.clip(min=0) + chosen.sum())).max())
    return np.array(best)


def test_case_is_a_pure_function_of_seed_and_number() -> None:
    first, again = make_phantom(5, 2), make_phantom(5, 2)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.label, again.label)
    for other in (make_phantom(5, 3), make_phantom(6, 2)):
        assert not np.array_equal(first.label, other.label)


def test_image_is_like_ct(phantoms: list[Phantom]) -> None:
    for phantom in phantoms:
        assert phantom.image.shape == phantom.label.shape == SHAPE
        assert phantom.image.dtype == np.int16
        corner = phantom.image[:, :4, :4]
        assert np.median(corner) < -900  # air
        assert 200 < phantom.image.max() < 900  # bone


def test_every_case_has_every_class_in_plausible_amounts(phantoms: list[Phantom]) -> None:
    body = np.prod(SHAPE)
    for phantom in phantoms:
        assert set(np.unique(phantom.label)) == {0, *CLASSES.values()}
        liver, kidney, lesion = (np.mean(phantom.label == value) for value in CLASSES.values())
        assert liver > kidney > lesion
        assert 20 / body < lesion < 0.02


def test_lesion_lies_in_the_liver(phantoms: list[Phantom]) -> None:
    for phantom in phantoms:
        lesion = phantom.label == CLASSES["lesion"]
        shell = binary_dilation(lesion) & ~lesion
        assert np.mean(phantom.label[shell] == CLASSES["liver"]) > 0.5


def test_there_are_two_kidneys(phantoms: list[Phantom]) -> None:
    for phantom in phantoms:
        parts, count = label(phantom.label == CLASSES["kidney"])
        sizes = np.sort(np.bincount(parts.ravel())[1:])[::-1]
        assert count >= 2
        assert sizes[1] > 0.2 * sizes[0]


@pytest.mark.parametrize("name", CLASSES)
def test_no_intensity_threshold_gives_the_label_away(phantoms: list[Phantom], name: str) -> None:
    assert best_interval_dice(phantoms, CLASSES[name]).mean() < 0.6


@pytest.mark.parametrize("name", CLASSES)
def test_no_interval_for_all_cases_gives_the_label_away(phantoms: list[Phantom], name: str) -> None:
    images, labels = (np.stack([getattr(phantom, kind) for phantom in phantoms]) for kind in ("image", "label"))
    pooled = Phantom(images, labels)
    assert 0.02 < best_interval_dice([pooled], CLASSES[name])[0] < 0.6


def test_left_and_right_look_alike(phantoms: list[Phantom]) -> None:
    """Training mirrors its patches: no intensity may tell the sides apart."""
    middle = SHAPE[2] // 2
    for value in (None, CLASSES["kidney"]):
        left, right = (
            np.concatenate(
                [
                    phantom.image[side][phantom.label[side] == value if value else phantom.image[side] > -200]
                    for phantom in phantoms
                ]
            )
            for side in (np.s_[..., :middle], np.s_[..., middle:])
        )
        assert left.mean() == pytest.approx(right.mean(), abs=15)
        assert left.std() == pytest.approx(right.std(), rel=0.15)


def test_noise_is_the_same_inside_and_outside(phantoms: list[Phantom]) -> None:
    ratios = []
    for phantom in phantoms:
        image = phantom.image.astype(float)
        step = image[:, :, 2:] - image[:, :, :-2]  # two pixels apart: noise, and little else within one organ
        liver = binary_erosion(phantom.label == CLASSES["liver"])
        inside = step[liver[:, :, 2:] & liver[:, :, :-2]]
        ratios.append(inside.std() / step[:, :4, :8].std())
    assert np.mean(ratios) == pytest.approx(1, abs=0.2)


def test_written_dataset_is_what_was_generated(folder: Path) -> None:
    dataset = open_dataset(folder)
    assert dataset.channels == ("CT",)
    assert dataset.labels.classes == {name: (value,) for name, value in CLASSES.items()}
    assert [case.name for case in dataset.cases] == [f"phantom_{number:03d}" for number in range(6)]
    case = dataset.case("phantom_004")
    assert case.label is not None
    image, written = SimpleITK.ReadImage(str(case.images[0])), SimpleITK.ReadImage(str(case.label))
    assert image.GetSpacing() == written.GetSpacing() == SPACING[::-1]
    expected = make_phantom(3, 4)
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), expected.image)
    assert np.array_equal(SimpleITK.GetArrayFromImage(written), expected.label)


def test_written_dataset_passes_the_check(folder: Path) -> None:
    assert check_dataset(open_dataset(folder), workers=1).problems == []


def test_finished_dataset_is_left_as_it_is(folder: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}
    write_phantoms(folder, cases=6, seed=3, on_progress=lambda *_: pytest.fail("written again"))
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize(("cases", "seed"), [(6, 4), (7, 3)])
def test_phantoms_of_another_seed_or_number_are_not_overwritten(folder: Path, cases: int, seed: int) -> None:
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}
    with pytest.raises(DatasetError, match="holds another dataset"):
        write_phantoms(folder, cases=cases, seed=seed)
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()} == before


def test_another_dataset_is_not_overwritten(tmp_path: Path) -> None:
    write_json(tmp_path / "dataset.json", {"labels": {"background": 0}})
    with pytest.raises(DatasetError, match="holds another dataset"):
        write_phantoms(tmp_path, cases=1)
    assert not (tmp_path / "imagesTr").exists()


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    write_phantoms(tmp_path / "small", cases=2, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
