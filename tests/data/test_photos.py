"""Truncated BMP and JPEG files are noticed at every length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK

from goodfit.data.photos import require_whole_photo
from goodfit.errors import ImageFileError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("ending", [".bmp", ".jpg", ".JPEG"])
def test_truncation(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"a{ending}"
    array = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array, isVector=True), str(file))
    content = file.read_bytes()
    require_whole_photo(file)
    file.write_bytes(content + b"appended by a camera")
    require_whole_photo(file)
    for kept in np.linspace(20, len(content) - 1, 12).astype(int):
        file.write_bytes(content[:kept])
        with pytest.raises(ImageFileError, match="truncated"):
            require_whole_photo(file)
