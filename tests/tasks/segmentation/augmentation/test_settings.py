"""Tests of the augmentation's settings."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.planning.plan import Configuration, NetworkPlan
from goodfit.tasks.segmentation.augmentation.settings import augmentation_settings, initial_patch_size


def configuration(patch: tuple[int, ...]) -> Configuration:
    network = NetworkPlan(
        architecture="plain_unet",
        features=[8],
        kernel_sizes=[[3] * len(patch)],
        strides=[[1] * len(patch)],
        encoder_blocks=[2],
        decoder_blocks=[],
    )
    return Configuration(
        name="2d" if len(patch) == 2 else "3d_fullres",
        spacing=[1.0, 1.0, 1.0],
        median_shape=[40.0, 40.0, 40.0],
        patch_size=list(patch),
        batch_size=2,
        batch_dice=False,
        network=network,
    )


# What nnU-Net 2.8.1 gives for these patches.
@pytest.mark.parametrize(
    ("patch", "initial", "degrees", "in_plane"),
    [
        ((40, 56, 40), (73, 80, 64), 30, False),
        ((128, 128, 128), (205, 205, 205), 30, False),
        ((20, 256, 224), (20, 301, 301), 180, True),
        ((20, 60, 60), (55, 96, 72), 30, False),
        ((20, 64, 60), (20, 75, 75), 180, True),
        ((56, 40), (65, 65), 180, False),
        ((48, 32), (56, 56), 180, False),
        ((64, 32), (82, 37), 15, False),
    ],
)
def test_rules_are_those_of_nnunet(
    patch: tuple[int, ...], initial: tuple[int, ...], degrees: int, in_plane: bool
) -> None:
    settings = augmentation_settings(configuration(patch))
    assert settings.initial_patch_size == initial
    assert settings.rotation == (-math.radians(degrees), math.radians(degrees))
    assert settings.in_plane == in_plane
    assert settings.mirror_axes == tuple(range(len(patch)))


@given(st.lists(st.integers(1, 200), min_size=2, max_size=3), st.floats(0, math.pi), st.booleans())
def test_initial_patch_is_never_smaller(patch: list[int], angle: float, in_plane: bool) -> None:
    initial = initial_patch_size(tuple(patch), angle, in_plane=in_plane)
    assert all(large >= small for large, small in zip(initial, patch, strict=True))
    assert initial[0] == patch[0] or not in_plane


def test_masked_channels() -> None:
    assert augmentation_settings(configuration((8, 8, 8)), [False, True, True]).masked_channels == (1, 2)
    assert augmentation_settings(configuration((8, 8, 8))).masked_channels == ()


def test_only_the_plans_axes_are_mirrored() -> None:
    some = configuration((8, 8, 8)).model_copy(update={"mirror_axes": [2]})
    assert augmentation_settings(some).mirror_axes == (2,)
    assert augmentation_settings(configuration((8, 8))).mirror_axes == (0, 1)
