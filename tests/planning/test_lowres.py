from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodfit.data.labels import Labels
from goodfit.planning.configuration_rules import plan_configuration
from goodfit.planning.feature_map_budget import Basis
from goodfit.planning.lowres import LowResolution, plan_cascade, plan_lowres

BASIS = Basis.of(Labels(classes={"a": (1,)}), cases=40)


def lowres_of(spacing: tuple[float, ...], shape: tuple[int, ...]) -> LowResolution:
    fullres = plan_configuration("3d_fullres", spacing=spacing, median_shape=shape, basis=BASIS, reasons={})
    return plan_lowres(fullres, BASIS)


def test_small_cases_need_none() -> None:
    lowres = lowres_of((1, 1, 1), (36, 50, 35))
    assert lowres.configuration is None
    assert lowres.reason == "a 3d_fullres patch covers the whole median case: no 3d_lowres needed"


def test_large_cases_get_one() -> None:
    configuration, reason = lowres_of((1, 1, 1), (512, 512, 512))
    assert configuration is not None
    assert configuration.name == "3d_lowres"
    assert configuration.patch_size == [128, 128, 128]
    assert configuration.spacing == pytest.approx([1.03**32] * 3)
    assert "covers 2 %" in reason
    assert not configuration.batch_dice


def test_a_patch_covers_a_quarter_of_the_low_resolution_case() -> None:
    configuration, _ = lowres_of((1, 1, 1), (512, 512, 512))
    assert configuration is not None
    share = math.prod(configuration.patch_size) / math.prod(configuration.median_shape)
    assert 0.24 < share < 0.29


def test_finer_axes_are_coarsened_first() -> None:
    configuration, _ = lowres_of((5, 0.5, 0.5), (120, 800, 800))
    assert configuration is not None
    assert configuration.spacing[0] == 5
    assert configuration.spacing[1] == configuration.spacing[2] > 0.5


def test_little_gain_drops_it() -> None:
    lowres = lowres_of((1, 1, 1), (200, 215, 205))
    assert lowres.configuration is None
    assert "times fewer voxels: no 3d_lowres made" in lowres.reason


edges = st.integers(1, 900)
lengths = st.sampled_from([0.02, 0.5, 1.0, 1.5, 3.0, 10.0])


@settings(max_examples=40, deadline=None)
@given(st.tuples(lengths, lengths, lengths), st.tuples(edges, edges, edges))
def test_it_ends_for_any_case(spacing: tuple[float, ...], shape: tuple[int, ...]) -> None:
    configuration, reason = lowres_of(spacing, shape)
    assert reason
    if configuration is not None:
        assert len(configuration.network.features) > 1
        assert math.prod(configuration.spacing) >= 1.9 * math.prod(spacing)


def test_the_cascade_is_the_full_resolution_network_with_a_previous_stage() -> None:
    fullres = plan_configuration("3d_fullres", spacing=(1, 1, 1), median_shape=(64, 64, 64), basis=BASIS, reasons={})
    cascade = plan_cascade(fullres)
    assert (cascade.name, cascade.previous_stage) == ("3d_cascade_fullres", "3d_lowres")
    omitted = {"name", "previous_stage", "reasons"}
    assert cascade.model_dump(exclude=omitted) == fullres.model_dump(exclude=omitted)
    assert "previous_stage" in cascade.reasons
    cascade.network.features[0] = 1
    assert fullres.network.features[0] != 1
