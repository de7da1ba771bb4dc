from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from goodfit.planning.topology import derive_topology, neighbouring_patches, smallest_patch

spacings = st.lists(st.sampled_from([0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0]), min_size=2, max_size=3)


@st.composite
def spacing_and_patch(draw: st.DrawFn) -> tuple[list[float], list[int]]:
    spacing = draw(spacings)
    edge = st.integers(1, 300)
    return spacing, draw(st.lists(edge, min_size=len(spacing), max_size=len(spacing)))


def test_isotropic_cube_halves_every_axis_down_to_four() -> None:
    topology = derive_topology((1, 1, 1), (128, 128, 128))
    assert topology.patch_size == (128, 128, 128)
    assert topology.strides == ((1, 1, 1),) + ((2, 2, 2),) * 5
    assert set(topology.kernel_sizes) == {(3, 3, 3)}
    assert topology.divisors == (32, 32, 32)


def test_thick_slices_are_halved_and_convolved_later() -> None:
    topology = derive_topology((10, 1.5, 1.5), (16, 256, 224))
    assert topology.strides[:4] == ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2))
    assert topology.kernel_sizes[:3] == ((1, 3, 3), (1, 3, 3), (3, 3, 3))
    assert topology.kernel_sizes[-1] == (3, 3, 3)


def test_median_shape_of_hippocampus_is_rounded_up() -> None:
    assert derive_topology((1, 1, 1), (36, 50, 35)).patch_size == (40, 56, 40)


def test_a_half_voxel_is_rounded_up() -> None:
    assert derive_topology((1, 1, 1), (36.5, 50.5, 40.5)).patch_size == (40, 56, 48)


def test_a_lone_axis_is_halved_only_from_twelve_on() -> None:
    assert derive_topology((1, 1), (3, 11)).stages == 1
    assert derive_topology((1, 1), (3, 12)).strides == ((1, 1), (1, 2))


@given(spacing_and_patch())
def test_strides_divide_the_rounded_patch_and_leave_edges_of_four(case: tuple[list[float], list[int]]) -> None:
    spacing, patch = case
    topology = derive_topology(spacing, patch)
    assert len(topology.kernel_sizes) == len(topology.strides) == topology.stages
    for wanted, rounded, divisor in zip(patch, topology.patch_size, topology.divisors, strict=True):
        assert rounded % divisor == 0
        assert 0 <= rounded - wanted < divisor
        assert divisor == 1 or rounded // divisor >= 4
    assert all(math.prod(stride) > 1 for stride in topology.strides[1:])
    grown = list(zip(topology.kernel_sizes, topology.kernel_sizes[1:], strict=False))
    assert all(before <= after for pair in grown for before, after in zip(*pair, strict=True))


@given(spacing_and_patch())
def test_smallest_patch_can_be_halved(case: tuple[list[float], list[int]]) -> None:
    spacing, patch = case
    assume(derive_topology(spacing, patch).stages == 1)
    enlarged = smallest_patch(spacing, patch)
    assert all(new >= old for new, old in zip(enlarged, patch, strict=True))
    assert derive_topology(spacing, enlarged).stages > 1


@given(spacing_and_patch())
def test_neighbouring_patches_are_allowed_and_enclose_the_wanted_one(case: tuple[list[float], list[int]]) -> None:
    spacing, patch = case
    lower, upper = neighbouring_patches(spacing, patch)
    assert derive_topology(spacing, upper).patch_size == upper
    assert all(new >= old for new, old in zip(upper, patch, strict=True))
    if lower is not None:
        assert derive_topology(spacing, lower).patch_size == lower
        assert all(new <= old for new, old in zip(lower, patch, strict=True))


@pytest.mark.parametrize(
    ("patch", "lower", "upper"),
    [((50, 50, 50), (48, 48, 48), (56, 56, 56)), ((40, 56, 40), (40, 56, 40), (40, 56, 40))],
)
def test_neighbours_of_a_patch(patch: tuple[int, ...], lower: tuple[int, ...], upper: tuple[int, ...]) -> None:
    assert neighbouring_patches((1, 1, 1), patch) == (lower, upper)
