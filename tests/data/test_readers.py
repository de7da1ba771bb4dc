"""Every format is read to the same arrays and geometry; what cannot be read is refused by name."""

from __future__ import annotations

import gzip
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import SimpleITK

from goodfit.data.readers import read_channels, read_image, read_label, supported_endings
from goodfit.errors import DatasetError, ImageFileError

if TYPE_CHECKING:
    from pathlib import Path

TURNED = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)


def volume(dtype: type = np.int16, shape: tuple[int, ...] = (4, 5, 6)) -> Any:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def save(path: Path, array: Any, *, vector: bool = False, compress: bool = True, **geometry: Any) -> Path:
    image = SimpleITK.GetImageFromArray(array, isVector=vector)
    dims = image.GetDimension()
    if path.suffix not in (".tif", ".tiff", ".png", ".bmp", ".jpg"):
        image.SetSpacing(geometry.get("spacing", (0.5, 0.75, 3.0)[:dims]))
        image.SetOrigin(geometry.get("origin", (10.0, -20.0, 30.0)[:dims]))
        if dims == 3:
            image.SetDirection(geometry.get("direction", TURNED))
    SimpleITK.WriteImage(image, str(path), useCompression=compress)
    return path


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_volume_formats_keep_voxels_and_geometry(tmp_path: Path, ending: str, dtype: type) -> None:
    array = volume(dtype)
    image = read_image([save(tmp_path / f"a{ending}", array)])
    assert image.array.dtype == np.float32
    np.testing.assert_array_equal(image.array, array[None].astype(np.float32))
    assert image.geometry.dims == 3
    assert image.geometry.spacing == pytest.approx((3.0, 0.75, 0.5))
    assert image.geometry.origin == pytest.approx((10.0, -20.0, 30.0))
    assert image.geometry.direction == pytest.approx(TURNED)
    assert image.array.flags.writeable


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".tiff"])
def test_flat_formats_have_unit_spacing(tmp_path: Path, ending: str) -> None:
    array = volume(np.uint8, (5, 6))
    image = read_image([save(tmp_path / f"a{ending}", array)])
    np.testing.assert_array_equal(image.array, array[None, None].astype(np.float32))
    assert image.geometry.spacing == (999.0, 1.0, 1.0)
    assert image.geometry.dims == 2


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_flat_medical_files_keep_their_spacing(tmp_path: Path, ending: str) -> None:
    array = volume(np.int16, (5, 6))
    image = read_image([save(tmp_path / f"a{ending}", array)])
    np.testing.assert_array_equal(image.array, array[None, None].astype(np.float32))
    assert image.geometry.spacing == pytest.approx((999.0, 0.75, 0.5))
    assert image.geometry.dims == 2


def test_tiff_volume_takes_spacing_from_the_file_beside_it(tmp_path: Path) -> None:
    array = volume(np.uint8)
    file = save(tmp_path / "cell_0000.tif", array)
    image = read_image([file])
    np.testing.assert_array_equal(image.array, array[None].astype(np.float32))
    assert image.geometry.spacing == (1.0, 1.0, 1.0)
    (tmp_path / "cell.json").write_text('{"spacing": [7, 0.5, 0.25]}')
    assert read_image([file]).geometry.spacing == (7.0, 0.5, 0.25)
    (tmp_path / "cell.json").write_text('{"spacing": 3}')
    with pytest.raises(ImageFileError, match=r"cell\.json"):
        read_image([file])


def test_jpeg_is_read_as_image_and_refused_as_label(tmp_path: Path) -> None:
    file = save(tmp_path / "a.jpg", volume(np.uint8, (16, 16)))
    assert read_image([file]).array.shape == (1, 1, 16, 16)
    with pytest.raises(ImageFileError, match="lossy"):
        read_label(file)


def test_ending_may_be_in_capitals(tmp_path: Path) -> None:
    file = save(tmp_path / "a.png", volume(np.uint8, (5, 6))).rename(tmp_path / "A.PNG")
    assert read_image([file]).array.shape == (1, 1, 5, 6)


def test_channels_from_several_files(tmp_path: Path) -> None:
    first, second = volume(), volume() + 1
    files = [save(tmp_path / "a_0000.nii.gz", first), save(tmp_path / "a_0001.nii.gz", second)]
    np.testing.assert_array_equal(read_image(files).array, np.stack([first, second]).astype(np.float32))
    assert len(read_channels(files)[1]) == 2
    with pytest.raises(DatasetError, match="2 channel files where 3"):
        read_image(files, 3)
    save(files[1], volume(shape=(4, 5, 7)))
    with pytest.raises(DatasetError, match=r"a_0001.*4x5x7 differs from 4x5x6"):
        read_image(files)


def test_channels_from_one_colour_file(tmp_path: Path) -> None:
    array = volume(np.uint8, (5, 6, 3))
    file = save(tmp_path / "a.png", array, vector=True)
    np.testing.assert_array_equal(read_image([file], 3).array[:, 0], np.moveaxis(array, -1, 0).astype(np.float32))
    with pytest.raises(DatasetError, match="holds 3 channels where 1 is expected"):
        read_image([file], 1)
    with pytest.raises(DatasetError, match="holds 3 channels where 2 are expected"):
        read_image([file], 2)


def test_missing_channel_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds 1 channel where 2 are expected.*CASE_0001"):
        read_image([save(tmp_path / "a_0000.nii.gz", volume())], 2)


def test_vector_volume_gives_channels(tmp_path: Path) -> None:
    array = volume(np.int16, (4, 5, 6, 2))
    for ending in (".nii.gz", ".mha"):
        image = read_image([save(tmp_path / f"a{ending}", array, vector=True)], 2)
        np.testing.assert_array_equal(image.array, np.moveaxis(array, -1, 0).astype(np.float32))
        assert image.geometry.spacing == pytest.approx((3.0, 0.75, 0.5))


def test_alpha_is_dropped_where_constant_or_unwanted(tmp_path: Path) -> None:
    array = volume(np.uint8, (5, 6, 4))
    file = save(tmp_path / "a.png", array, vector=True)
    assert read_image([file]).array.shape[0] == 4
    assert read_image([file], 3).array.shape[0] == 3
    array[..., 3] = 255
    save(file, array, vector=True)
    assert read_image([file]).array.shape[0] == 3
    assert read_image([file], 4).array.shape[0] == 4


def test_grey_image_stored_as_colour_gives_one_channel(tmp_path: Path) -> None:
    grey = volume(np.uint8, (5, 6))
    file = save(tmp_path / "a.png", np.stack([grey] * 3, axis=-1), vector=True)
    np.testing.assert_array_equal(read_image([file], 1).array[0, 0], grey.astype(np.float32))
    assert read_image([file]).array.shape[0] == 1
    assert read_image([file], 3).array.shape[0] == 3
    np.testing.assert_array_equal(read_label(file)[0][0], grey)


def test_label_types(tmp_path: Path) -> None:
    for dtype, expected in ((np.uint8, np.int16), (np.float32, np.int16), (np.uint16, np.int16), (np.int32, np.int16)):
        label, geometry = read_label(save(tmp_path / "a.nii.gz", volume(dtype)))
        assert label.dtype == expected
        np.testing.assert_array_equal(label, volume())
        assert geometry.dims == 3
    wide, _ = read_label(save(tmp_path / "a.nii.gz", volume(np.int32) * 1000))
    assert wide.dtype == np.int32
    np.testing.assert_array_equal(wide, volume(np.int32) * 1000)


@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf])
def test_label_that_is_no_integer_is_refused(tmp_path: Path, bad: float) -> None:
    array = volume(np.float32)
    array[1, 2, 3] = bad
    with pytest.raises(ImageFileError, match=r"1 voxels hold no integer.*nearest neighbour"):
        read_label(save(tmp_path / "a.nii.gz", array))


def test_coloured_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="one number per voxel"):
        read_label(save(tmp_path / "a.png", volume(np.uint8, (5, 6, 3)), vector=True))


def test_image_with_time_axis_is_refused(tmp_path: Path) -> None:
    array = volume(np.int16, (3, 4, 5, 6))
    for ending in (".nii.gz", ".mha"):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array, isVector=False), str(tmp_path / f"a{ending}"))
        with pytest.raises(ImageFileError, match=r"4D.*one 3D file per channel"):
            read_image([tmp_path / f"a{ending}"])


def test_trailing_axis_of_one_is_tolerated(tmp_path: Path) -> None:
    array = volume(np.int16, (1, 4, 5, 6))
    for ending in (".nii.gz", ".mha"):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array, isVector=False), str(tmp_path / f"a{ending}"))
        image = read_image([tmp_path / f"a{ending}"])
        np.testing.assert_array_equal(image.array, array.astype(np.float32))
        assert image.geometry.dims == 3
        assert len(image.geometry.direction) == 9


FORMATS = [".nii", ".nii.gz", ".nrrd", ".mha", ".tif", ".png", ".bmp", ".jpg"]


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("compress", [True, False])
def test_truncated_files_are_refused(tmp_path: Path, ending: str, compress: bool) -> None:
    flat = ending in (".png", ".bmp", ".jpg")
    array = volume(np.uint8, (64, 64) if flat else (20, 30, 40))
    file = save(tmp_path / f"a{ending}", array, compress=compress)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageFileError, match=f"a{ending}: .*(truncated|damaged)"):
        read_image([file])


@pytest.mark.parametrize("ending", FORMATS)
def test_files_that_are_no_images_are_refused(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"a{ending}"
    file.write_bytes(b"this is only text, " * 100)
    with pytest.raises(ImageFileError, match=f"a{ending}: "):
        read_image([file])
    file.write_bytes(b"")
    with pytest.raises(ImageFileError, match="empty"):
        read_image([file])
    file.unlink()
    with pytest.raises(ImageFileError, match="no such file"):
        read_image([file])


def test_unknown_ending_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ImageFileError, match=r"not a supported image format.*\.nii\.gz"):
        read_image([tmp_path / "a.txt"])
    assert ".nii.gz" in supported_endings()


def test_sheared_affine_is_refused_with_a_reason(tmp_path: Path) -> None:
    content = bytearray(save(tmp_path / "a.nii", volume()).read_bytes())
    content[252:256] = struct.pack("<2h", 0, 1)
    content[280:328] = struct.pack("<12f", 1, 0.3, 0, 5, 0, 1, 0, 6, 0, 0, 2, 7)
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(ImageFileError, match="right angles"):
        read_image([tmp_path / "a.nii"])


def test_one_changed_byte_in_a_compressed_file_is_noticed(tmp_path: Path) -> None:
    file = save(tmp_path / "a.nii.gz", volume(shape=(20, 30, 40)))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(ImageFileError, match=r"damaged|truncated"):
        read_image([file])


def test_gzip_in_several_members_is_read(tmp_path: Path) -> None:
    content = save(tmp_path / "a.nii", volume()).read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]))
    np.testing.assert_array_equal(read_image([tmp_path / "a.nii.gz"]).array[0], volume().astype(np.float32))
