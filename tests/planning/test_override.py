from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodfit.data.labels import Labels
from goodfit.errors import PlanError
from goodfit.planning.configuration_rules import plan_configuration
from goodfit.planning.feature_map_budget import Basis
from goodfit.planning.override import override_configuration, shrink_network
from goodfit.planning.topology import derive_topology

if TYPE_CHECKING:
    from goodfit.planning.plan import Configuration

BASIS = Basis.of(Labels(classes={"a": (1,), "b": (2,)}), cases=260)


def planned(name: str = "3d_fullres") -> Configuration:
    return plan_configuration(name, spacing=(1, 1, 1), median_shape=(36, 50, 35), basis=BASIS, reasons={})


def test_a_batch_size_changes_nothing_else() -> None:
    before = planned()
    after = override_configuration(before, BASIS, batch_size=4)
    assert after.batch_size == 4
    assert after.reasons["batch_size"] == "given on the command line"
    assert after.model_dump(exclude={"batch_size", "reasons"}) == before.model_dump(exclude={"batch_size", "reasons"})
    assert before == planned()


def test_a_patch_changes_strides_and_batch() -> None:
    after = override_configuration(planned(), BASIS, patch_size=(32, 48, 32), reason="asked for")
    assert after.patch_size == [32, 48, 32]
    assert after.network.strides == [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2]]
    assert after.batch_size == 17
    assert after.reasons["patch_size"] == "asked for"
    assert "are about 17 patches" in after.reasons["batch_size"]


def test_a_smaller_patch_gets_fewer_stages() -> None:
    after = override_configuration(planned("2d"), BASIS, patch_size=(10, 14))
    assert after.network.strides == [[1, 1], [2, 2]]
    assert len(after.network.features) == 2


def test_patch_and_batch_together() -> None:
    after = override_configuration(planned(), BASIS, patch_size=(32, 48, 32), batch_size=3)
    assert (after.patch_size, after.batch_size) == ([32, 48, 32], 3)


def test_a_spacing_changes_everything_that_follows() -> None:
    after = override_configuration(planned(), BASIS, spacing=(2, 1, 1))
    assert after.spacing == [2, 1, 1]
    assert after.median_shape == [18, 50, 35]
    assert after.patch_size == [20, 56, 40]
    assert after.batch_size == 9
    assert after.reasons["spacing"] == "given on the command line"
    assert "36x50x35" in after.reasons["median_shape"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size: 0 is no batch"),
        ({"patch_size": (50, 50, 50)}, "patch_size: 50x50x50 .*nearest patches that can are 48x48x48 or 56x56x56"),
        ({"patch_size": (0, 40, 40)}, "patch_size: .*3 positive numbers"),
        ({"patch_size": (40, 40)}, "patch_size: .*3 positive numbers of voxels for 3d_fullres"),
        ({"patch_size": (4, 4, 4)}, "patch_size: 4x4x4 is too small.*8x8x8"),
        ({"spacing": (1, 1)}, "spacing: .*three positive lengths"),
        ({"spacing": (1, 1, -1)}, "spacing: .*three positive lengths"),
        ({"spacing": (1, 1, float("nan"))}, "spacing: .*three positive lengths"),
    ],
)
def test_what_cannot_be_is_refused_by_field(change: dict[str, object], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        override_configuration(planned(), BASIS, **change)


def test_shrinking_halves_the_channels() -> None:
    before = planned()
    after = shrink_network(before, 2, "to fit the time")
    assert before.network.features == [32, 64, 128, 256]
    assert after.network.features == [16, 32, 64, 128]
    assert after.network.reasons["features"] == "to fit the time"
    assert after.batch_size == before.batch_size


def test_shrinking_stops_at_eight_channels() -> None:
    assert shrink_network(planned(), 8, "").network.features == [8, 8, 16, 32]


def test_a_shrunk_network_stays_shrunk_under_a_new_patch() -> None:
    shrunk = shrink_network(planned(), 2, "to fit the time")
    after = override_configuration(shrunk, BASIS, patch_size=(32, 64, 32))
    assert after.network.features == [16, 32, 64, 128]
    assert after.network.reasons["features"] == "to fit the time"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 128), min_size=3, max_size=3))
def test_a_patch_is_taken_as_given_or_refused(patch: list[int]) -> None:
    topology = derive_topology((1, 1, 1), patch)
    if topology.patch_size == tuple(patch) and topology.stages > 1:
        after = override_configuration(planned(), BASIS, patch_size=patch)
        assert after.patch_size == patch
        assert after.network.strides == [list(stride) for stride in topology.strides]
    else:
        with pytest.raises(PlanError, match="nearest patch"):
            override_configuration(planned(), BASIS, patch_size=patch)
