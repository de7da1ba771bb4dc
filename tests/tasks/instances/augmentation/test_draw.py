from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from goodfit.planning.instances.plan import InstanceAugmentation
from goodfit.tasks.instances.augmentation import FrameChange, draw

ALL = InstanceAugmentation(
    flip_horizontal=0.5, flip_vertical=0.5, quarter_turns=0.5, colour=0.5, grey=0.5, blur=0.5, scale_range=[0.5, 2.0]
)
NOTHING = InstanceAugmentation(
    flip_horizontal=0, flip_vertical=0, quarter_turns=0, colour=0, grey=0, blur=0, scale_range=[1.0, 1.0]
)


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(1, 8))
def test_a_pure_function_of_seed_step_and_position(seed, step, size) -> None:
    drawn = draw(ALL, seed, step, size)
    assert drawn == draw(ALL, seed, step, size)
    assert drawn == draw(ALL, seed, step, size + 3)[:size]


@given(st.integers(0, 2**40))
def test_what_was_drawn_can_be_recorded(step) -> None:
    for change in draw(ALL, 0, step, 4):
        assert FrameChange.from_dict(json.loads(json.dumps(change.to_dict()))) == change


def test_values_lie_in_their_ranges_and_everything_happens() -> None:
    changes = [change for step in range(200) for change in draw(ALL, 1, step, 4)]
    factors = [change.placement.factor for change in changes]
    assert 0.5 <= min(factors) < 0.55
    assert 1.9 < max(factors) <= 2.0
    assert abs(sum(factor < 1 for factor in factors) / len(factors) - 0.5) < 0.1
    assert {change.quarter_turns for change in changes} == {0, 1, 2, 3}
    for share in (
        sum(change.flip_horizontal for change in changes),
        sum(change.flip_vertical for change in changes),
        sum(change.grey for change in changes),
        sum(change.colour is not None for change in changes),
        sum(change.blur is not None for change in changes),
    ):
        assert abs(share / len(changes) - 0.5) < 0.1
    colours = [change.colour for change in changes if change.colour is not None]
    assert all(0.8 <= colour.brightness <= 1.2 and abs(colour.hue) <= 0.02 for colour in colours)


def test_nothing_happens_where_nothing_is_asked_for() -> None:
    assert set(draw(NOTHING, 0, 0, 50)) == {FrameChange()}
