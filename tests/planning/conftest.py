"""A small U-Net's configuration, for the tests of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from goodfit.planning.plan import Configuration, NetworkPlan

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def small_unet() -> Callable[..., Configuration]:
    """Give what makes the configuration of a small U-Net."""
    return _configuration


def _configuration(
    dims: int = 3, features: tuple[int, ...] = (8, 16, 32), *, residual: bool = False, edge: int = 24
) -> Configuration:
    stages = len(features)
    network = NetworkPlan(
        architecture="residual_unet" if residual else "plain_unet",
        features=list(features),
        kernel_sizes=[[3] * dims] * stages,
        strides=[[1] * dims, *[[2] * dims] * (stages - 1)],
        encoder_blocks=[2] * stages,
        decoder_blocks=[1 if residual else 2] * (stages - 1),
    )
    return Configuration(
        name="2d" if dims == 2 else "3d_fullres",
        spacing=[1.0] * 3,
        median_shape=[float(edge)] * 3,
        patch_size=[edge] * dims,
        batch_size=3,
        batch_dice=False,
        network=network,
    )
