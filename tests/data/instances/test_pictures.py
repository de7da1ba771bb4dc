from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from goodfit.data.instances.pictures import picture_size, read_picture
from goodfit.errors import ImageFileError

COLOURS = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


def test_colours_are_read_as_they_are(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), COLOURS)
    assert picture_size(tmp_path / "a.png") == (5, 7)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image = Image.fromarray(COLOURS).convert(mode)
    image.save(path, **({"transparency": b"\x00\x80"} if mode == "P" else {}))
    array = read_picture(path)
    assert (array.shape, array.dtype) == ((5, 7, 3), np.uint8)
    if mode == "L":
        np.testing.assert_array_equal(array[..., 0], np.asarray(image))


def test_sixteen_bits_are_stretched(tmp_path):
    values = np.linspace(1000, 3000, 35).reshape(5, 7).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    array = read_picture(tmp_path / "a.png")
    assert (array.min(), array.max()) == (0, 255)
    assert (np.diff(array[..., 0].ravel().astype(int)) >= 0).all()
    Image.fromarray(np.full((5, 7), 9, np.uint16)).save(tmp_path / "b.png")
    assert not read_picture(tmp_path / "b.png").any()
    Image.fromarray(np.full((5, 7), np.nan, np.float32)).save(tmp_path / "c.tif")
    assert read_picture(tmp_path / "c.tif").shape == (5, 7, 3)


def test_the_cameras_orientation_is_applied_unless_the_annotations_are_without(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOURS).save(tmp_path / "a.png", exif=exif)
    assert picture_size(tmp_path / "a.png") == (7, 5)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), np.rot90(COLOURS, -1))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", 7, 5), np.rot90(COLOURS, -1))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", 5, 7), COLOURS)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp"])
def test_truncated_files_are_named(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3)).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageFileError, match=rf"a\{ending}: damaged or truncated"):
        read_picture(path)


def test_missing_files_and_no_images_are_named(tmp_path):
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(ImageFileError, match="no image that can be read"):
        picture_size(tmp_path / "a.png")
    with pytest.raises(ImageFileError, match="there is no such file"):
        read_picture(tmp_path / "b.png")
