"""Tests of drawing augmentation parameters."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.tasks.segmentation.augmentation.draw import Parameters, SampleParameters, draw
from goodfit.tasks.segmentation.augmentation.previous_stage import PreviousStageSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.tasks.segmentation.augmentation.settings import AugmentationSettings

    MakeSettings = Callable[..., AugmentationSettings]

COUNT = 20000


@given(seed=st.integers(0, 2**40), step=st.integers(0, 2**40), batch=st.integers(1, 9), channels=st.integers(1, 4))
def test_drawing_is_pure_and_survives_json(
    make_settings: MakeSettings, seed: int, step: int, batch: int, channels: int
) -> None:
    settings = make_settings(masked_channels=(0,))
    parameters = draw(settings, seed, step, batch, channels)
    assert parameters == draw(settings, seed, step, batch, channels)
    assert Parameters.from_dict(json.loads(json.dumps(parameters.to_dict()))) == parameters


@pytest.mark.parametrize("patch", [(8, 9), (8, 9, 10)])
@pytest.mark.parametrize("channels", [1, 4])
def test_everything_at_once_survives_json(make_settings: MakeSettings, patch: tuple[int, ...], channels: int) -> None:
    previous = PreviousStageSettings((1, 4), 1.0, 1.0, p_removal=1.0, p_removal_label=1.0)
    parameters = draw(make_settings(patch, probability=1.0, previous=previous), 0, 0, 50, channels)
    assert all(None not in dataclasses.astuple(sample) for sample in parameters.samples)
    assert Parameters.from_dict(json.loads(json.dumps(parameters.to_dict()))) == parameters


def test_a_previous_stage_leaves_all_else_as_it_is(make_settings: MakeSettings) -> None:
    plain = draw(make_settings(), 3, 4, 20, 2)
    cascade = draw(make_settings(previous=PreviousStageSettings((1, 2, 3))), 3, 4, 20, 2)
    assert cascade.previous_values == (1, 2, 3)
    assert any(sample.previous is not None for sample in cascade.samples)
    assert tuple(dataclasses.replace(sample, previous=None) for sample in cascade.samples) == plain.samples


def test_nothing_happens_with_probability_zero(make_settings: MakeSettings) -> None:
    parameters = draw(make_settings(probability=0.0), 3, 4, 20, 2)
    assert set(parameters.samples) == {SampleParameters()}


def test_a_sample_does_not_depend_on_the_batch_size(make_settings: MakeSettings) -> None:
    settings = make_settings()
    assert draw(settings, 1, 2, 9, 2).samples[:4] == draw(settings, 1, 2, 4, 2).samples


def test_seed_step_and_position_matter(make_settings: MakeSettings) -> None:
    settings = make_settings(probability=1.0)
    drawn = [draw(settings, seed, step, 3, 1).samples for seed in range(3) for step in range(3)]
    assert len({sample for samples in drawn for sample in samples}) == 27


def share(happened: list[bool]) -> float:
    return sum(happened) / len(happened)


def test_frequencies(make_settings: MakeSettings) -> None:
    samples = draw(make_settings(), 0, 0, COUNT, 1).samples
    expected = {
        0.2: [sample.rotation is not None for sample in samples],
        0.2001: [sample.scale is not None for sample in samples],
        0.36: [sample.moves for sample in samples],
        0.1: [sample.noise is not None for sample in samples],
        # chosen samples whose only channel is chosen, too
        0.2 * 0.5 + 1e-6: [sample.blur is not None for sample in samples],
        0.15: [sample.brightness is not None for sample in samples],
        0.1501: [sample.contrast is not None for sample in samples],
        0.25 * 0.5: [sample.low_resolution is not None for sample in samples],
        0.1 + 1e-6: [sample.gamma_inverted is not None for sample in samples],
        0.3: [sample.gamma is not None for sample in samples],
        0.5: [0 in sample.mirror for sample in samples],
        0.5001: [2 in sample.mirror for sample in samples],
        0.125 + 1e-6: [sample.mirror == (0, 1, 2) for sample in samples],
    }
    for probability, happened in expected.items():
        assert abs(share(happened) - probability) < 4.5 * math.sqrt(0.25 / COUNT)


def test_ranges(make_settings: MakeSettings) -> None:
    settings = make_settings(probability=1.0)
    samples = draw(settings, 0, 0, 4000, 2).samples

    def spread(values: list[float]) -> tuple[float, float, float]:
        return min(values), float(np.mean(values)), max(values)

    angles = [angle for sample in samples for angle in sample.rotation or ()]
    assert spread(angles) == pytest.approx((-math.pi / 6, 0, math.pi / 6), abs=0.02)
    assert spread([sample.scale or 0 for sample in samples]) == pytest.approx((0.7, 1.05, 1.4), abs=0.02)
    deviations = [sample.noise.deviation for sample in samples if sample.noise]
    assert spread(deviations) == pytest.approx((0, 0.05, 0.1), abs=0.005)
    sigmas = [sigma for sample in samples for axes in sample.blur or () for sigma in axes or ()]
    assert spread(sigmas) == pytest.approx((0.5, 0.75, 1), abs=0.01)
    shares = [share for sample in samples for share in sample.low_resolution or () if share]
    assert spread(shares) == pytest.approx((0.5, 0.75, 1), abs=0.01)
    # Half of the factors are below 1, each side uniform.
    for name in ("brightness", "contrast"):
        factors = [factor for sample in samples for factor in getattr(sample, name)]
        assert spread(factors) == pytest.approx((0.75, 1, 1.25), abs=0.01)
    for name in ("gamma", "gamma_inverted"):
        factors = [factor for sample in samples for factor in getattr(sample, name)]
        assert spread(factors) == pytest.approx((0.7, 0.5 * 0.85 + 0.5 * 1.25, 1.5), abs=0.02)
        assert share([factor < 1 for factor in factors]) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("patch", "in_plane", "angles"), [((8, 9), False, 1), ((4, 9, 9), True, 1), ((8, 9, 9), False, 3)]
)
def test_number_of_angles(make_settings: MakeSettings, patch: tuple[int, ...], in_plane: bool, angles: int) -> None:
    sample = draw(make_settings(patch, probability=1.0, in_plane=in_plane), 0, 0, 1, 1).samples[0]
    assert sample.rotation is not None
    assert len(sample.rotation) == angles
