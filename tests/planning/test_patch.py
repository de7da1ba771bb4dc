from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.planning.patch import initial_patch, reduced
from goodfit.planning.topology import derive_topology

LARGE = (5000, 5000, 5000)


def test_isotropic_patch_is_a_cube_of_256() -> None:
    assert initial_patch((1, 1, 1), LARGE) == (256, 256, 256)


def test_isotropic_2d_patch_is_a_square_of_2048() -> None:
    assert initial_patch((0.5, 0.5), (5000, 5000)) == (2048, 2048)


def test_edges_are_equal_in_millimetres() -> None:
    assert initial_patch((4, 1, 1), LARGE) == (102, 406, 406)


def test_patch_is_cut_to_the_median_case() -> None:
    assert initial_patch((1, 1, 1), (36, 50.5, 300)) == (36, 50.5, 256)


def test_the_axis_that_covers_most_gives_way() -> None:
    smaller = reduced(derive_topology((1, 1, 1), (128, 128, 128)), (1, 1, 1), (500, 140, 500))
    assert smaller is not None
    assert smaller.patch_size == (128, 112, 128)


def test_among_equals_the_last_axis_gives_way() -> None:
    smaller = reduced(derive_topology((1, 1, 1), (128, 128, 128)), (1, 1, 1), (500, 500, 500))
    assert smaller is not None
    assert smaller.patch_size == (128, 128, 112)


def test_the_step_is_that_of_the_shorter_axis() -> None:
    # 256 is divided by 64; 192 would skip 224, which strides down to 32 allow
    smaller = reduced(derive_topology((1, 1), (256, 256)), (1, 1), (300, 299))
    assert smaller is not None
    assert smaller.patch_size == (256, 224)


def test_nothing_is_left_below_a_patch_that_is_halved_once() -> None:
    assert reduced(derive_topology((1, 1), (8, 8)), (1, 1), (50, 50)) is None


def test_another_axis_gives_way_where_the_first_would_leave_no_network() -> None:
    topology = derive_topology((1, 0.1, 1), (192, 12, 192))
    smaller = reduced(topology, (1, 0.1, 1), (400, 12, 400))
    assert smaller is not None
    assert smaller.patch_size[1] == 12
    assert smaller.stages > 1


@given(
    st.lists(st.sampled_from([0.1, 0.5, 1.0, 1.5, 3.0, 10.0]), min_size=3, max_size=3),
    st.lists(st.integers(8, 256), min_size=3, max_size=3),
)
def test_shrinking_ends_with_the_smallest_u_net(spacing: list[float], shape: list[int]) -> None:
    topology = derive_topology(spacing, initial_patch(spacing, shape))
    for _ in range(1000):
        smaller = reduced(topology, spacing, shape)
        if smaller is None:
            break
        assert math.prod(smaller.patch_size) < math.prod(topology.patch_size)
        assert smaller.stages > 1
        topology = smaller
    else:
        pytest.fail("shrinking does not end")
