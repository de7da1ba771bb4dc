"""Where the floor is, and how large bodies are on it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from goodfit.phantoms.rooms.space import HEIGHT, floor_at, size_at

DEPTHS = st.floats(0, 1)


@given(DEPTHS, DEPTHS)
def test_what_is_nearer_stands_lower_and_is_larger(one: float, other: float) -> None:
    far, near = sorted((one, other))
    assert floor_at(far) <= floor_at(near)
    assert size_at(far) <= size_at(near)


@given(DEPTHS)
def test_a_body_stands_within_the_picture(depth: float) -> None:
    assert floor_at(depth) - size_at(depth) > 0
    assert floor_at(depth) < HEIGHT
