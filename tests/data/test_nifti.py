"""The NIfTI reader gives what ITK gives, for every number type, byte order, scaling and affine."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from goodfit.data.itk import read_with_itk
from goodfit.data.nifti import read_nifti, require_whole_nifti
from goodfit.errors import ImageFileError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def save(path: Path, array: Any, rotation: Any = None) -> Path:
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-31.0, 12.0, 5.5))
    if rotation is not None:
        image.SetDirection(np.asarray(rotation).ravel().tolist())
    SimpleITK.WriteImage(image, str(path))
    return path


def assert_as_itk(file: Path) -> None:
    mine = read_nifti(file)
    array, geometry = read_with_itk(file)
    assert mine is not None
    np.testing.assert_allclose(mine.array, array, rtol=1e-6)
    if mine.geometry is not None:
        assert mine.geometry.spacing == pytest.approx(geometry.spacing, rel=1e-5)
        assert mine.geometry.origin == pytest.approx(geometry.origin, rel=1e-5, abs=1e-4)
        assert mine.geometry.direction == pytest.approx(geometry.direction, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4), st.booleans(), st.sampled_from(["both", "qform", "sform"]))
def test_any_orientation_is_read_as_itk_does(
    tmp_path_factory: pytest.TempPathFactory, quaternion: list[float], mirrored: bool, kept: str
) -> None:
    q = np.asarray(quaternion)
    a, b, c, d = q / np.linalg.norm(q) if np.linalg.norm(q) > 0.1 else (1.0, 0.0, 0.0, 0.0)
    rotation = np.array(
        [
            [1 - 2 * (c * c + d * d), 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), 1 - 2 * (b * b + d * d), 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), 1 - 2 * (b * b + c * c)],
        ]
    )
    if mirrored:
        rotation[:, 2] *= -1
    file = save(tmp_path_factory.mktemp("nifti") / "a.nii", np.arange(24, dtype=np.int16).reshape(2, 3, 4), rotation)
    content = bytearray(file.read_bytes())
    if kept != "both":
        content[252:256] = struct.pack("<2h", int(kept == "qform"), int(kept == "sform"))
        file.write_bytes(content)
    assert_as_itk(file)
    result = read_nifti(file)
    assert result is not None
    # Close to half a turn the quaternion loses digits, the two disagree and ITK is asked.
    assert result.geometry is not None or kept == "both"


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_every_number_type(tmp_path: Path, dtype: str) -> None:
    assert_as_itk(save(tmp_path / "a.nii.gz", np.arange(24, dtype=dtype).reshape(2, 3, 4)))


@pytest.mark.parametrize(("slope", "shift"), [(2.0, 0.0), (1.0, -1024.0), (0.5, 3.0), (0.0, 7.0), (float("nan"), 1.0)])
def test_scaling_of_the_header(tmp_path: Path, slope: float, shift: float) -> None:
    file = save(tmp_path / "a.nii", np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    content = bytearray(file.read_bytes())
    content[112:120] = struct.pack("<2f", slope, shift)
    file.write_bytes(content)
    result = read_nifti(file)
    assert result is not None
    plain = np.arange(24).reshape(1, 2, 3, 4)
    np.testing.assert_allclose(result.array, plain * slope + shift if slope in (2.0, 1.0, 0.5) else plain)
    if np.isfinite(slope) and slope != 0:  # the standard: a slope of 0 means no scaling; ITK adds the shift still
        assert_as_itk(file)


def test_other_byte_order(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    content = save(tmp_path / "a.nii", array).read_bytes()
    # sizeof_hdr, then the fields the reader needs, swapped one by one
    swapped = bytearray(content)
    fields = [(0, "i"), (40, "8h"), (70, "2h"), (76, "8f"), (108, "3f"), (252, "2h"), (256, "6f"), (280, "12f")]
    for position, layout in fields:
        values = struct.unpack_from("<" + layout, content, position)
        struct.pack_into(">" + layout, swapped, position, *values)
    swapped[352:] = array.astype(">i2").tobytes()
    (tmp_path / "b.nii").write_bytes(swapped)
    assert_as_itk(tmp_path / "b.nii")
    result = read_nifti(tmp_path / "b.nii")
    assert result is not None
    np.testing.assert_array_equal(result.array[0], array)
    assert result.array.dtype.isnative


def test_disagreeing_affines_are_left_to_itk(tmp_path: Path) -> None:
    file = save(tmp_path / "a.nii", np.zeros((2, 3, 4), dtype=np.int16))
    content = bytearray(file.read_bytes())
    content[280:284] = struct.pack("<f", 5.0)
    file.write_bytes(content)
    result = read_nifti(file)
    assert result is not None
    assert result.geometry is None


@pytest.mark.parametrize("kept", [4, 200, 360])
def test_truncation_anywhere_is_noticed(tmp_path: Path, kept: int) -> None:
    file = save(tmp_path / "a.nii", np.zeros((2, 3, 4), dtype=np.int16))
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ImageFileError, match=r"a\.nii: the file is truncated"):
        read_nifti(file)


@pytest.mark.parametrize(
    "name", ["Dataset004_Hippocampus", "Dataset027_ACDC", "Dataset082_BRATS6", "Dataset401_CTfixture"]
)
def test_real_files_are_read_as_itk_does(shared_data: Callable[[str], Path], name: str) -> None:
    for folder in ("imagesTr", "labelsTr"):
        for file in sorted((shared_data(name) / folder).iterdir())[:5]:
            assert_as_itk(file)
            result = read_nifti(file)
            assert result is not None
            assert result.geometry is not None


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_files_of_four_axes_are_whole_or_refused(tmp_path: Path, ending: str) -> None:
    random = np.random.default_rng(0)
    parts = [SimpleITK.GetImageFromArray(random.integers(0, 99, (4, 5, 6)).astype(np.int16)) for _ in range(3)]
    image = SimpleITK.JoinSeries(parts)
    file = tmp_path / f"x{ending}"
    SimpleITK.WriteImage(image, str(file))
    require_whole_nifti(file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    with pytest.raises(ImageFileError, match="truncated"):
        require_whole_nifti(file)
    file.write_bytes(whole[:100])
    with pytest.raises(ImageFileError, match="truncated"):
        require_whole_nifti(file)
    file.write_bytes(bytes(400))
    require_whole_nifti(file)  # no NIfTI-1 at all: for others to judge
