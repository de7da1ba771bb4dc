from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.data.instances.polygons import points_of, polygon_area, touches_itself

SQUARE = [0, 0, 4, 0, 4, 4, 0, 4]


def test_area_does_not_depend_on_direction_or_place():
    assert polygon_area(SQUARE) == 16
    backwards = np.reshape(SQUARE, (-1, 2))[::-1].ravel().tolist()
    assert polygon_area(backwards) == 16
    assert polygon_area([value + 1e6 for value in SQUARE]) == 16


def test_lines_have_no_area_and_loops_do_not_cancel():
    assert polygon_area([1, 1, 3, 2, 5, 3]) == 0
    assert polygon_area([1, 1, 1, 1, 1, 1]) == 0
    assert polygon_area([0, 0, 4, 4, 4, 0, 0, 4]) == 8


def test_closing_point_and_repeats_are_no_corners():
    assert len(points_of([0, 0, 4, 0, 4, 0, 4, 4, 0, 4, 0, 0])) == 4


@pytest.mark.parametrize(
    "flat",
    [
        [0, 0, 4, 4, 4, 0, 0, 4],
        [0, 0, 8, 0, 8, 4, 4, 0, 0, 4],
        [0, 0, 4, 0, 4, 4, 4, 0, 0, 4],
        [0, 0, 4, 0, 2, 0, 2, 4],
        [0, 0, 1, 1],
    ],
    ids=["bow tie", "corner on an edge", "spike", "edge folded back", "a line"],
)
def test_touching_polygons_are_noticed(flat):
    assert touches_itself(flat)


@pytest.mark.parametrize("flat", [SQUARE, [*SQUARE, 0, 0], [0, 0, 8, 0, 8, 8, 4, 2, 0, 8], [0, 0, 2, 0, 4, 0, 4, 4]])
def test_simple_polygons_are_left_alone(flat):
    assert not touches_itself(flat)


@given(st.integers(3, 700), st.floats(1, 50))
def test_stars_are_simple_until_two_corners_change_places(corners, radius):
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radii = radius * (1 + 0.5 * (np.arange(corners) % 2))
    points = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    assert not touches_itself(points.ravel().tolist())
    if corners >= 5:
        crossed = points.copy()
        crossed[[1, corners // 2 + 1]] = crossed[[corners // 2 + 1, 1]]
        assert touches_itself(crossed.ravel().tolist())
