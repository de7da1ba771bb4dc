"""Small generated datasets in nnU-Net's raw layout."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pytest
import SimpleITK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SHAPE = (6, 7, 8)


def save_volume(path: Path, array: Any, spacing: tuple[float, ...] = (1.0, 1.0, 2.0)) -> Path:
    """Write an array (Z, Y, X) or (Y, X) as the format that the ending names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(array)
    if path.suffix not in (".png", ".bmp", ".tif"):
        image.SetSpacing(spacing[: array.ndim])
    SimpleITK.WriteImage(image, str(path))
    return path


class MakeDataset(Protocol):
    def __call__(
        self,
        cases: int | Sequence[str] = 6,
        *,
        channels: int = 1,
        ending: str = ".nii.gz",
        tests: int = 0,
        test_labels: bool = True,
        description: dict[str, Any] | None = None,
    ) -> Path: ...


def random_case(rng: np.random.Generator, ending: str) -> tuple[Any, Any]:
    """Give an image and a label with the values 0, 1 and 2 (both classes present)."""
    shape = SHAPE[1:] if ending in (".png", ".bmp") else SHAPE
    kind = np.uint8 if ending in (".png", ".bmp", ".tif") else np.int16
    label = rng.integers(0, 3, shape).astype(np.uint8)
    label.flat[:3] = (0, 1, 2)
    return rng.integers(0, 250, shape).astype(kind), label


@pytest.fixture
def make_dataset(tmp_path: Path) -> MakeDataset:
    """Write a dataset with random content; give its folder."""

    def make(
        cases: int | Sequence[str] = 6,
        *,
        channels: int = 1,
        ending: str = ".nii.gz",
        tests: int = 0,
        test_labels: bool = True,
        description: dict[str, Any] | None = None,
    ) -> Path:
        root = tmp_path / "Dataset001_Made"
        rng = np.random.default_rng(0)
        names = [f"case_{index:03d}" for index in range(cases)] if isinstance(cases, int) else list(cases)
        for name in names:
            for channel in range(channels):
                image, label = random_case(rng, ending)
                save_volume(root / "imagesTr" / f"{name}_{channel:04d}{ending}", image)
            save_volume(root / "labelsTr" / f"{name}{ending}", label)
        for index in range(tests):
            image, label = random_case(rng, ending)
            save_volume(root / "imagesTs" / f"test_{index:03d}_0000{ending}", image)
            if test_labels:
                save_volume(root / "labelsTs" / f"test_{index:03d}{ending}", label)
        content = {
            "channel_names": {str(channel): f"channel{channel}" for channel in range(channels)},
            "labels": {"background": 0, "organ": 1, "lesion": 2},
            "file_ending": ending,
        }
        (root / "dataset.json").write_text(json.dumps({**content, **(description or {})}))
        return root

    return make
