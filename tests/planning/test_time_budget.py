"""Fitting network, batch and epochs to a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.planning.plan import Configuration, NetworkPlan
from goodfit.planning.time_budget import (
    ENOUGH_STEPS,
    MIN_EPOCHS,
    candidates,
    epoch_length,
    fit_to_time,
    samples_cost,
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


def test_candidates_grow_to_the_planned_configuration() -> None:
    ladder = [(c.network.features[0], c.batch_size) for c in candidates(planned(), batch_fixed=False)]
    assert ladder == [(8, 2), (16, 2), (16, 4), (16, 7), (32, 2), (32, 4), (32, 7)]


def test_a_batch_that_the_user_chose_stays() -> None:
    assert {c.batch_size for c in candidates(planned(batch=5), batch_fixed=True)} == {5}


def test_a_small_network_is_not_shrunk_further() -> None:
    assert {c.network.features[0] for c in candidates(planned(features=8), batch_fixed=False)} == {8}


def cost(configuration: Configuration) -> float:
    return samples_cost(configuration) * 1e-3


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
    asked: list[float] = []

    def measure(configuration: Configuration) -> float:
        asked.append(samples_cost(configuration))
        return cost(configuration)

    fitted = fit_to_time(candidates(planned(), batch_fixed=False), 1000, measure)
    assert asked == sorted(asked)
    assert fitted.steps >= ENOUGH_STEPS
    assert len(asked) < 7


@pytest.mark.parametrize(("steps", "length"), [(10_000, 250), (5000, 250), (900, 45), (20, 1), (3, 1)])
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
