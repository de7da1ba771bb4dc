"""ITK's messages become plain ones that name the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK

from goodfit.data.itk import read_with_itk
from goodfit.errors import ImageFileError

if TYPE_CHECKING:
    from pathlib import Path


def test_vector_volume_has_its_channels_first(tmp_path: Path) -> None:
    array = np.arange(4 * 5 * 6 * 2, dtype=np.int16).reshape(4, 5, 6, 2)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array, isVector=True), str(tmp_path / "a.nrrd"))
    read, geometry = read_with_itk(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(read, np.moveaxis(array, -1, 0))
    assert geometry.spacing == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("content", "message"), [(b"text", "no image file"), (b"\x89PNG\r\n\x1a\n" + b"x" * 99, "damaged")]
)
def test_messages_are_plain(tmp_path: Path, content: bytes, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(content)
    with pytest.raises(ImageFileError, match=message) as caught:
        read_with_itk(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "itk" not in str(caught.value).lower().replace(str(file).lower(), "")
    assert "WARNING" not in capfd.readouterr().err
