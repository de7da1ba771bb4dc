"""Fitting network, batch and epochs to a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.planning.plan import Configuration, NetworkPlan
from goodfit.planning.time_budget import (
    MIN_EPOCHS,
    STEPS_FOR_FULL,
    STEPS_FOR_HALF,
    STEPS_FOR_SAMPLES,
    Candidate,
    candidates,
    epoch_length,
    fit_to_time,
    smallest_batch,
)


def planned(batch: int = 7, features: int = 32) -> Configuration:
    network = NetworkPlan(
        architecture="plain_unet",
        features=[features, 2 * features],
        kernel_sizes=[[3, 3, 3]] * 2,
        strides=[[1, 1, 1], [2, 2, 2]],
        encoder_blocks=[2, 2],
        decoder_blocks=[2],
    )
    return Configuration(
        name="3d_fullres",
        spacing=[1, 1, 1],
        median_shape=[36, 50, 35],
        patch_size=[40, 56, 40],
        batch_size=batch,
        batch_dice=False,
        network=network,
    )


def size(candidate: Candidate) -> tuple[int, int]:
    return candidate.configuration.network.features[0], candidate.configuration.batch_size


def test_candidates_grow_in_width_and_batch_to_the_planned_configuration() -> None:
    ladder = candidates(planned(), batch_fixed=False)
    assert [size(candidate) for candidate in ladder] == [(8, 2), (16, 2), (16, 4), (32, 4), (32, 7)]
    steps = [1, STEPS_FOR_HALF, STEPS_FOR_SAMPLES, STEPS_FOR_FULL, STEPS_FOR_FULL]
    assert [candidate.enough_steps for candidate in ladder] == steps


def test_a_batch_that_the_user_chose_stays() -> None:
    assert [size(c) for c in candidates(planned(batch=5), batch_fixed=True)] == [(8, 5), (16, 5), (32, 5)]


def test_a_small_network_is_not_shrunk_further() -> None:
    assert {size(c)[0] for c in candidates(planned(features=8), batch_fixed=False)} == {8}


def test_small_patches_start_from_a_larger_batch() -> None:
    configuration = planned(batch=64).model_copy(update={"patch_size": [1, 64, 64]})
    assert smallest_batch(configuration) == 32
    assert smallest_batch(planned(batch=1)) == 1


def cost(configuration: Configuration) -> float:
    return configuration.batch_size * configuration.network.features[0] ** 2 * 1e-3


def test_much_time_keeps_the_planned_configuration() -> None:
    fitted = fit_to_time(candidates(planned(), batch_fixed=False), 1e6, cost)
    assert (fitted.configuration.network.features[0], fitted.configuration.batch_size) == (32, 7)
    assert fitted.steps_per_epoch == 250


def test_little_time_takes_the_cheapest_and_says_what_it_measured() -> None:
    fitted = fit_to_time(candidates(planned(), batch_fixed=False), 10, cost)
    assert (fitted.configuration.network.features[0], fitted.configuration.batch_size) == (8, 2)
    assert "8 features x batch 2" in fitted.reason
    assert fitted.epochs >= MIN_EPOCHS


def test_measuring_stops_at_the_first_candidate_that_is_too_slow() -> None:
    asked: list[tuple[int, int]] = []

    def measure(configuration: Configuration) -> float:
        asked.append((configuration.network.features[0], configuration.batch_size))
        return cost(configuration)

    fitted = fit_to_time(candidates(planned(), batch_fixed=False), 2500, measure)
    assert asked == [(8, 2), (16, 2), (16, 4)]
    assert (fitted.configuration.network.features[0], fitted.configuration.batch_size) == (16, 4)
    assert fitted.steps >= STEPS_FOR_SAMPLES
    assert "32 features x batch 4 would need 4000" in fitted.reason


@pytest.mark.parametrize(("steps", "length"), [(10_000, 250), (6250, 250), (900, 36), (20, 1), (3, 1)])
def test_a_short_budget_shortens_the_epoch(steps: int, length: int) -> None:
    assert epoch_length(steps) == length


@given(st.integers(20, 100_000))
def test_there_are_at_least_twenty_epochs(steps: int) -> None:
    assert steps // epoch_length(steps) >= MIN_EPOCHS


@given(st.floats(1, 1e6), st.integers(2, 64))
def test_the_choice_never_exceeds_the_plan(seconds: float, batch: int) -> None:
    fitted = fit_to_time(candidates(planned(batch), batch_fixed=False), seconds, cost)
    assert fitted.configuration.batch_size <= batch
    assert fitted.configuration.network.features[0] <= 32
    assert fitted.steps >= 1
