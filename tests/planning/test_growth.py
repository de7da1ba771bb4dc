"""Patches that grow during a short training."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.planning.growth import LARGEST, grow, small_patches
from goodfit.planning.plan import Configuration, NetworkPlan
from goodfit.planning.time_budget import MIN_EPOCHS, OVERHEAD, FittedBudget


def planned(patch: tuple[int, ...], halvings: int, batch: int = 2) -> Configuration:
    dims, stages = len(patch), halvings + 1
    network = NetworkPlan(
        architecture="plain_unet",
        features=[8] * stages,
        kernel_sizes=[[3] * dims] * stages,
        strides=[[1] * dims, *[[2] * dims] * halvings],
        encoder_blocks=[2] * stages,
        decoder_blocks=[2] * halvings,
    )
    return Configuration(
        name="2d" if dims == 2 else "3d_fullres",
        spacing=[1, 1, 1],
        median_shape=[36, 50, 35],
        patch_size=list(patch),
        batch_size=batch,
        batch_dice=False,
        network=network,
    )


def cost(configuration: Configuration) -> float:
    """A millisecond for 1,000 voxels."""
    return 1e-6 * configuration.batch_size * math.prod(configuration.patch_size)


def fitted(configuration: Configuration, seconds: float) -> FittedBudget:
    per_step = cost(configuration) * OVERHEAD
    return FittedBudget(configuration, per_step, int(seconds / per_step), 250, "made")


@pytest.mark.parametrize(
    ("patch", "halvings", "expected"),
    [
        ((40, 56, 40), 3, {(16, 24, 16): 0.10, (24, 32, 24): 0.15}),
        ((128, 128), 5, {(64, 64): 0.25}),  # two values of the coarsest map are left: both stages are this one
        ((256, 256), 5, {(96, 96): 0.10, (160, 160): 0.15}),
        ((64, 64), 5, {}),  # nothing smaller is left
        ((80, 80), 4, {(32, 32): 0.10, (48, 48): 0.15}),
    ],
)
def test_patches_of_the_stages(patch: tuple[int, ...], halvings: int, expected: dict[tuple[int, ...], float]) -> None:
    assert dict(small_patches(planned(patch, halvings))) == pytest.approx(expected)


def test_stages_take_their_share_of_the_time_and_end_with_an_epoch() -> None:
    configuration = planned((40, 56, 40), 3)
    grown = grow(fitted(configuration, 100.0), 100.0, cost)
    first, second = grown.configuration.growth
    assert (first.patch_size, second.patch_size) == ([16, 24, 16], [24, 32, 24])
    assert (first.batch_size, second.batch_size) == (4, 4)
    assert first.until_step % grown.steps_per_epoch == second.until_step % grown.steps_per_epoch == 0
    seconds = first.until_step * 4 * 16 * 24 * 16e-6 * OVERHEAD
    assert seconds == pytest.approx(10.0, abs=0.5 * grown.steps_per_epoch * 0.025 * OVERHEAD)
    whole = grown.steps - second.until_step
    assert whole * grown.seconds_per_step == pytest.approx(75.0, rel=0.01)
    assert grown.steps > fitted(configuration, 100.0).steps
    reason = grown.configuration.reasons["growth"]
    assert f"16x24x16 x batch 4 until step {first.until_step} (0.028 s a step)" in reason
    assert "for 25 % of the time" in reason.replace("25%", "25 %")
    assert configuration.growth == [], "what was given is as before"


def test_nothing_changes_where_no_patch_is_smaller_or_no_epoch_fits() -> None:
    small = fitted(planned((64, 64), 5), 100.0)
    assert grow(small, 100.0, cost) is small
    long = fitted(planned((40, 56, 40), 3), 100.0)
    assert grow(long, 100.0, cost, steps_per_epoch=10_000) is long
    assert grow(long, 100.0, cost, steps_per_epoch=7).steps_per_epoch == 7
    assert grow(long, 100.0, lambda _: 0.7 * long.seconds_per_step) is long, (
        "nothing but overhead is left of a small step"
    )


@given(
    edges=st.lists(st.integers(2, 12), min_size=2, max_size=3),
    halvings=st.integers(1, 5),
    batch=st.integers(1, 9),
    seconds=st.floats(1.0, 1e5),
)
def test_a_grown_plan_is_a_plan_of_the_same_time(edges: list[int], halvings: int, batch: int, seconds: float) -> None:
    before = fitted(planned(tuple(edge * 2**halvings for edge in edges), halvings, batch), seconds)
    grown = grow(before, seconds, cost)
    configuration = Configuration.model_validate(grown.configuration.model_dump())  # the strides divide every stage
    voxels = [math.prod(stage.patch_size) for stage in configuration.growth]
    assert voxels == sorted(voxels)
    assert all(count <= LARGEST * math.prod(configuration.patch_size) for count in voxels)
    coarsest = [min(edge // 2**halvings for edge in stage.patch_size) for stage in configuration.growth]
    assert all(edge >= 2 for edge in coarsest)
    if configuration.growth:
        taken, first = 0.0, 0
        for stage in configuration.growth:
            taken += (stage.until_step - first) * cost(configuration.cut_as(stage)) * OVERHEAD
            first = stage.until_step
        taken += (grown.steps - first) * before.seconds_per_step
        epoch = grown.steps_per_epoch * before.seconds_per_step
        assert taken <= seconds + len(configuration.growth) * epoch
        assert grown.steps // grown.steps_per_epoch >= min(MIN_EPOCHS, grown.steps) // 2
    else:
        assert grown is before
