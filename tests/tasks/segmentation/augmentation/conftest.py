"""Settings for the tests of the augmentation."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import pytest

from goodfit.tasks.segmentation.augmentation.settings import AugmentationSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.tasks.segmentation.augmentation.previous_stage import PreviousStageSettings


def _make(
    patch: tuple[int, ...] = (10, 12, 14),
    probability: float | None = None,
    margin: int = 6,
    in_plane: bool = False,
    masked_channels: tuple[int, ...] = (),
    previous: PreviousStageSettings | None = None,
) -> AugmentationSettings:
    initial = tuple(size + margin for size in patch)
    settings = AugmentationSettings(
        patch_size=patch,
        initial_patch_size=(patch[0], *initial[1:]) if in_plane else initial,
        rotation=(-math.pi / 6, math.pi / 6),
        in_plane=in_plane,
        mirror_axes=tuple(range(len(patch))),
        masked_channels=masked_channels,
        previous=previous,
    )
    if probability is None:
        return settings
    names = [field.name for field in dataclasses.fields(settings) if field.name.startswith("p_")]
    return dataclasses.replace(settings, **dict.fromkeys(names, probability))


@pytest.fixture(scope="session")
def make_settings() -> Callable[..., AugmentationSettings]:
    """Give a function that makes settings; ``probability`` replaces every probability."""
    return _make
