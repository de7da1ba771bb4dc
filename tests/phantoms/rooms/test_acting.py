from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from goodfit.phantoms.rooms.acting import Actor, Key, carer, patient, sitter, walker
from goodfit.phantoms.rooms.figures import LIE, SIT, STAND, draw_look
from goodfit.phantoms.rooms.furniture import BED_LENGTH, draw_layout
from goodfit.phantoms.rooms.space import WIDTH

DURATION = 10.0


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def cast(seed: int) -> list[Actor]:
    random = rng(seed)
    layout = draw_layout(random)
    return [
        walker(random, draw_look(random), DURATION),
        carer(random, draw_look(random), layout, DURATION),
        sitter(random, draw_look(random), layout, DURATION),
        patient(random, draw_look(random), layout, DURATION),
    ]


@pytest.mark.parametrize("seed", range(8))
def test_nobody_jumps(seed: int) -> None:
    for actor in cast(seed):
        moments = [moment for time in np.arange(0, DURATION, 0.05) if (moment := actor.at(float(time)))]
        for before, after in pairwise(moments):
            assert abs(after.x - before.x) < 12, actor
            assert abs(after.lift - before.lift) < 8
            assert abs(after.cover - before.cover) < 0.3


def test_figure_is_away_before_its_first_and_after_its_last_key() -> None:
    actor = Actor(draw_look(rng(0)), (Key(1, 0, 0.5, STAND), Key(3, 100, 0.5, STAND)), 0)
    assert actor.at(0.9) is None
    assert actor.at(3.1) is None
    middle = actor.at(2)
    assert middle is not None
    assert middle.x == pytest.approx(50)
    assert middle.facing == 1


def test_legs_swing_only_while_walking() -> None:
    keys = (Key(0, 0, 0.5, STAND), Key(2, 100, 0.5, STAND), Key(4, 100, 0.5, STAND), Key(5, 100, 0.5, SIT))
    actor = Actor(draw_look(rng(0)), keys, 0)
    swings = {
        time: max(abs(found.stride) for step in range(10) if (found := actor.at(time + step / 10)))
        for time in (0.5, 2.5, 4.0)
    }
    assert swings[0.5] > 10
    assert swings[2.5] == swings[4.0] == 0


def test_back_home_turns_the_figure_round() -> None:
    actor = Actor(draw_look(rng(0)), (Key(0, 0, 0.5, STAND), Key(1, 90, 0.5, STAND), Key(2, 0, 0.5, STAND)), 0)
    there, back = actor.at(0.5), actor.at(1.5)
    assert there is not None
    assert back is not None
    assert (there.facing, back.facing) == (1, -1)


def test_patients_lie_on_the_bed_and_most_are_covered() -> None:
    covered = 0
    for seed in range(30):
        random = rng(seed)
        layout = draw_layout(random)
        actor = patient(random, draw_look(random), layout, DURATION)
        lying = [key for key in actor.keys if key.posture is LIE]
        assert lying
        assert all(layout.bed_x < key.x < layout.bed_x + BED_LENGTH for key in lying)
        assert all(key.lift == layout.bed_height for key in lying)
        covered += any(key.cover > 0 for key in lying)
    assert 15 <= covered < 30


def test_walkers_come_from_one_side_and_leave() -> None:
    for seed in range(10):
        actor = walker(rng(seed), draw_look(rng(seed)), DURATION)
        assert not 0 <= actor.keys[0].x <= WIDTH
        assert not 0 <= actor.keys[-1].x <= WIDTH
        assert [key.time for key in actor.keys] == sorted(key.time for key in actor.keys)
