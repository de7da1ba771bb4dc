"""Plans and small datasets for the preprocessing tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from SimpleITK import GetImageFromArray, WriteImage

from goodfit.data.geometry import Geometry, Image
from goodfit.planning.plan import Configuration, Data, IntensityStatistics, NetworkPlan, Plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _network(dims: int) -> NetworkPlan:
    return NetworkPlan(
        architecture="plain_unet",
        features=[4, 8],
        kernel_sizes=[[3] * dims] * 2,
        strides=[[1] * dims, [2] * dims],
        encoder_blocks=[1, 1],
        decoder_blocks=[1],
    )


def _configuration(name: str, spacing: tuple[float, float, float], patch: int = 16) -> Configuration:
    dims = 2 if name == "2d" else 3
    return Configuration.model_validate(
        {
            "name": name,
            "spacing": list(spacing),
            "median_shape": [20, 20, 20],
            "patch_size": [patch] * dims,
            "batch_size": 2,
            "batch_dice": False,
            "network": _network(dims).model_dump(),
        }
    )


def _data(channels: int = 1, **changes: Any) -> Data:
    statistics = IntensityStatistics(
        mean=50, median=50, std=20, minimum=0, maximum=100, percentile_00_5=10, percentile_99_5=90
    )
    fields: dict[str, Any] = {
        "name": "made up",
        "key": "0" * 8,
        "channels": [f"channel{index}" for index in range(channels)],
        "file_ending": ".nii.gz",
        "classes": {"organ": [1], "lesion": [2]},
        "normalisation": ["zscore"] * channels,
        "use_mask": [False] * channels,
        "intensities": [statistics] * channels,
    }
    return Data(**(fields | changes))


@pytest.fixture
def make_configuration() -> Callable[..., Configuration]:
    """Give a configuration of a name and a spacing."""
    return _configuration


@pytest.fixture
def make_data() -> Callable[..., Data]:
    """Give a plan's data section for a number of channels, with fields changed by name."""
    return _data


@pytest.fixture
def make_plan() -> Callable[..., Plan]:
    """Give a plan with a 2d and a 3d_fullres configuration of one spacing."""

    def build(spacing: tuple[float, float, float] = (1, 1, 1), **data: Any) -> Plan:
        return Plan(
            goodfit_version="0",
            memory=1e9,
            data=_data(**data),
            configuration="3d_fullres",
            configurations={name: _configuration(name, spacing) for name in ("2d", "3d_fullres")},
        )

    return build


@pytest.fixture
def make_image() -> Callable[..., Image]:
    """Give an image from an array (C, Z, Y, X) or (Z, Y, X) and a spacing."""

    def build(array: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Image:
        array = array.astype(np.float32)
        direction = (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)
        geometry = Geometry(spacing=spacing, origin=(0.0, 0.0, 0.0), direction=direction, dims=3)
        return Image(array if array.ndim == 4 else array[None], geometry)

    return build


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Path]:
    """Write a dataset of generated cases in nnU-Net's raw layout and give its folder."""

    def build(count: int = 3, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Path:
        root = tmp_path / "raw"
        for folder in ("imagesTr", "labelsTr"):
            (root / folder).mkdir(parents=True)
        random = np.random.default_rng(0)
        for number in range(count):
            shape = (12 + number, 20, 18)
            label = np.zeros(shape, dtype=np.uint8)
            label[3:8, 5:12, 4:12] = 1
            label[4:6, 6:9, 6:9] = 2
            image = random.normal(100, 10, shape).astype(np.float32) + 50 * label
            image[:, :2] = 0
            for folder, array, suffix in (("imagesTr", image, "_0000"), ("labelsTr", label, "")):
                file = GetImageFromArray(array)
                file.SetSpacing(spacing[::-1])
                WriteImage(file, str(root / folder / f"case_{number}{suffix}.nii.gz"))
        description = {
            "channel_names": {"0": "MRI"},
            "labels": {"background": 0, "organ": 1, "lesion": 2},
            "numTraining": count,
            "file_ending": ".nii.gz",
        }
        (root / "dataset.json").write_text(json.dumps(description))
        return root

    return build
