from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodfit.data.labels import Labels
from goodfit.errors import PlanError
from goodfit.planning.configuration_rules import fit_patch, plan_batch_size, plan_configuration
from goodfit.planning.feature_map_budget import PRESETS, REFERENCE_BATCH, Basis, feature_map_values

LABELS = Labels(classes={"a": (1,), "b": (2,)})
BASIS = Basis.of(LABELS, cases=260)
lengths = st.sampled_from([0.1, 0.5, 0.8, 1.0, 1.5, 3.0, 10.0])
edges = st.integers(1, 900)


def test_hippocampus() -> None:
    configuration = plan_configuration(
        "3d_fullres", spacing=(1, 1, 1), median_shape=(36, 50, 35), basis=BASIS, reasons={"spacing": "median"}
    )
    assert configuration.patch_size == [40, 56, 40]
    assert configuration.batch_size == 9
    assert configuration.reasons["spacing"] == "median"
    assert "36x50x35" in configuration.reasons["patch_size"]
    assert "it fits at once" in configuration.reasons["patch_size"]
    assert "16.4 M voxels are about 9 patches" in configuration.reasons["batch_size"]


def test_2d_takes_the_last_two_axes() -> None:
    configuration = plan_configuration("2d", spacing=(1, 1, 1), median_shape=(36, 50, 35), basis=BASIS, reasons={})
    assert configuration.patch_size == [56, 40]
    assert configuration.batch_size == 366
    assert configuration.batch_dice
    assert configuration.spacing == [1, 1, 1]


def test_large_cases_shrink_the_patch_and_say_so() -> None:
    fitted = fit_patch((1, 1, 1), (500, 500, 500), BASIS)
    assert fitted.topology.patch_size == (128, 128, 128)
    assert "cut to the median shape: 256x256x256" in fitted.reason
    assert "shortened in 12 steps" in fitted.reason


def test_images_too_small_to_halve_get_a_larger_patch() -> None:
    fitted = fit_patch((1, 1, 1), (5, 6, 7), BASIS)
    assert fitted.topology.patch_size == (8, 8, 8)
    assert "enlarged" in fitted.reason
    assert fit_patch((1, 1, 1), (5, 6, 7), BASIS, runnable=False).topology.patch_size == (5, 6, 7)


def test_too_little_memory_is_refused_with_the_need() -> None:
    with pytest.raises(PlanError, match=r"memory: .*too little for the smallest 3d patch \(8x8x1\).*Allow more"):
        fit_patch((1, 1, 1), (500, 500, 500), replace(BASIS, memory=1000))


def test_batch_size_can_be_derived_anew() -> None:
    configuration = plan_configuration(
        "3d_fullres", spacing=(1, 1, 1), median_shape=(36, 50, 35), basis=BASIS, reasons={}
    )
    configuration.batch_size = 1
    assert plan_batch_size(configuration, BASIS).size == 9
    assert plan_batch_size(configuration, BASIS, dataset_voxels=math.prod((40, 56, 40)) * 20 * 3).size == 3


@settings(max_examples=60, deadline=None)
@given(st.tuples(lengths, lengths, lengths), st.tuples(edges, edges, edges), st.sampled_from(["plain", "resenc_l"]))
def test_any_case_gets_a_network_within_the_budget(
    spacing: tuple[float, ...], shape: tuple[int, ...], preset: str
) -> None:
    basis = Basis.of(LABELS, cases=50, preset=preset)
    for name in ("2d", "3d_fullres"):
        configuration = plan_configuration(name, spacing=spacing, median_shape=shape, basis=basis, reasons={})
        network, dims = configuration.network, configuration.dims
        assert len(network.features) > 1
        assert configuration.batch_size >= 2
        values = feature_map_values(network, configuration.patch_size, basis.outputs)
        assert values / REFERENCE_BATCH[dims] * PRESETS[preset].fitting_batch[dims] <= basis.budget(dims)
        assert set(configuration.reasons) == {"patch_size", "batch_size", "batch_dice", "growth"}
