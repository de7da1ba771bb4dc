"""Fitting batch and patch to a memory, with a predictor that is a straight line in batch and patch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from goodfit.data.labels import Labels
from goodfit.planning.batch_size import MIN_BATCH
from goodfit.planning.configuration_rules import plan_configuration
from goodfit.planning.feature_map_budget import Basis
from goodfit.planning.memory import Allowances, MemoryModel, MemoryPrediction
from goodfit.planning.memory_fit import Room, fit_to_memory
from goodfit.planning.override import override_configuration

if TYPE_CHECKING:
    from goodfit.planning.plan import Configuration

GB = 1e9
BASIS = Basis.of(Labels(classes={"a": (1,), "b": (2,)}), cases=100)
PROCESS = 0.5 * GB
FIXED = 0.2 * GB
PER_VOXEL = 1200.0
LARGE, SMALL = (200, 300, 300), (36, 50, 35)
"""Median shapes: of the large one nnU-Net takes a part as the patch, of the small one all."""


def planned(shape: tuple[int, int, int] = LARGE) -> Configuration:
    return plan_configuration("3d_fullres", spacing=(1, 1, 1), median_shape=shape, basis=BASIS, reasons={})


def predict(configuration: Configuration) -> MemoryPrediction:
    """Weights, and bytes for each voxel of each sample."""
    line = (FIXED, PER_VOXEL * math.prod(configuration.patch_size))
    beside = Allowances(context=round(PROCESS), workspace=0, share=1.0)
    return MemoryModel((line,), beside).predict(configuration.batch_size)


def fitted(configuration: Configuration, room: Room) -> Configuration:
    before = configuration.model_copy(deep=True)
    found = fit_to_memory(configuration, BASIS, room, predict)
    assert configuration == before, "what is given stays as it is"
    return found


def needs(configuration: Configuration, batch: int) -> int:
    return predict(configuration.model_copy(update={"batch_size": batch})).process


def test_the_batch_grows_into_the_memory() -> None:
    plan = planned()
    found = fitted(plan, Room(needs(plan, 11)))
    assert plan.batch_size == 2
    assert found.batch_size == 11
    assert found.patch_size == plan.patch_size
    assert found.network == plan.network
    assert "11 are predicted to fit into" in found.reasons["batch_size"]
    assert "(nnU-Net's rule for 8 GB: 2)" in found.reasons["batch_size"]


def test_the_batch_shrinks_to_what_fits() -> None:
    plan = override_configuration(planned(SMALL), BASIS, patch_size=(32, 48, 32))
    assert plan.batch_size > 5
    found = fitted(plan, Room(needs(plan, 5)))
    assert (found.batch_size, found.patch_size) == (5, plan.patch_size)


def test_no_more_than_a_share_of_the_dataset_is_in_a_batch() -> None:
    plan = planned(SMALL)
    found = fitted(plan, Room(1000 * GB))
    assert found.batch_size == round(0.05 * 100 * math.prod(SMALL) / math.prod(plan.patch_size))
    assert "5 % of the dataset's" in found.reasons["batch_size"]


def test_a_patch_of_which_not_two_fit_shrinks() -> None:
    plan = planned()
    limit = 0.6 * needs(plan, MIN_BATCH)
    found = fitted(plan, Room(limit))
    assert math.prod(found.patch_size) < math.prod(plan.patch_size)
    assert found.batch_size >= MIN_BATCH
    assert predict(found).process <= limit
    assert "; shrunk from 96x160x160, nnU-Net's for 8 GB" in found.reasons["patch_size"]
    assert all(
        edge % math.prod(steps) == 0
        for edge, steps in zip(found.patch_size, zip(*found.network.strides, strict=True), strict=True)
    )


def test_a_patch_grows_where_more_memory_than_nnunets_is_given() -> None:
    plan = planned()
    limit = 3 * BASIS.memory
    assert predict(plan).model.largest_batch(limit) > 3 * MIN_BATCH
    found = fitted(plan, Room(limit, patch_grows=True))
    assert math.prod(found.patch_size) > math.prod(plan.patch_size)
    assert found.batch_size >= MIN_BATCH
    assert predict(found).process <= limit
    assert "; grown from 96x160x160" in found.reasons["patch_size"]
    assert fitted(plan, Room(limit)).patch_size == plan.patch_size, "only where it may"


def test_a_patch_that_holds_a_whole_case_does_not_grow() -> None:
    plan = planned(SMALL)
    assert fitted(plan, Room(24 * GB, patch_grows=True)).patch_size == plan.patch_size


def test_a_given_batch_is_kept_and_the_patch_follows() -> None:
    plan = override_configuration(planned(), BASIS, batch_size=6)
    limit = needs(planned(), 3)
    found = fitted(plan, Room(limit, batch_given=True))
    assert found.batch_size == 6
    assert found.reasons["batch_size"] == "given on the command line"
    assert math.prod(found.patch_size) < math.prod(plan.patch_size)
    assert predict(found).process <= limit


def test_a_given_patch_is_kept_and_the_batch_follows() -> None:
    plan = override_configuration(planned(), BASIS, patch_size=(96, 96, 96))
    for batch in (2, 9):
        found = fitted(plan, Room(needs(plan, batch), patch_given=True, patch_grows=True))
        assert (found.patch_size, found.batch_size) == ([96, 96, 96], batch)


def test_what_is_given_and_does_not_fit_comes_back_to_be_refused() -> None:
    plan = planned()
    both = override_configuration(plan, BASIS, patch_size=(96, 96, 96), batch_size=7)
    found = fitted(both, Room(1 * GB, batch_given=True, patch_given=True))
    assert (found.patch_size, found.batch_size) == ([96, 96, 96], 7)
    nothing = fitted(plan, Room(0.3 * GB))
    assert nothing.batch_size == MIN_BATCH
    assert predict(nothing).process > 0.3 * GB


def test_no_more_than_asked_for_and_the_reason_says_why() -> None:
    plan = planned()
    found = fitted(plan, Room(needs(plan, 9), most=2, most_reason="steps get longer"))
    assert found.batch_size == 2
    assert found.reasons["batch_size"].startswith(plan.reasons["batch_size"])
    assert found.reasons["batch_size"].endswith("; steps get longer")
    exact = fitted(plan, Room(needs(plan, 2), most=2, most_reason="steps get longer"))
    assert "steps get longer" not in exact.reasons["batch_size"]


@hypothesis_settings(max_examples=40)
@given(st.floats(1.5, 60), st.floats(1.0, 4.0), st.sampled_from([LARGE, SMALL, (90, 160, 160)]))
def test_more_memory_never_gives_less_and_all_of_it_fits(
    gigabytes: float, factor: float, shape: tuple[int, int, int]
) -> None:
    plan = planned(shape)
    less, more = (fitted(plan, Room(limit * GB)) for limit in (gigabytes, factor * gigabytes))
    assert predict(less).process <= gigabytes * GB
    assert math.prod(less.patch_size) <= math.prod(more.patch_size)
    if less.patch_size == more.patch_size:
        assert less.batch_size <= more.batch_size


@hypothesis_settings(max_examples=30)
@given(st.floats(1.5, 100), st.booleans(), st.one_of(st.none(), st.integers(2, 20)))
def test_whatever_is_allowed_stays_within_the_limit(gigabytes: float, grows: bool, most: int | None) -> None:
    found = fitted(planned(), Room(gigabytes * GB, most=most, most_reason="why", patch_grows=grows))
    assert predict(found).process <= gigabytes * GB
    assert found.batch_size >= MIN_BATCH
    if most is not None:
        assert found.batch_size <= most


@pytest.mark.parametrize("limit", [2.0, 8.0, 30.0])
def test_fitting_twice_changes_nothing_more(limit: float) -> None:
    once = fitted(planned(), Room(limit * GB))
    twice = fitted(once, Room(limit * GB))
    assert (twice.patch_size, twice.batch_size) == (once.patch_size, once.batch_size)
