from __future__ import annotations

import numpy as np
import pytest

from goodfit.phantoms.rooms.canvas import Canvas
from goodfit.phantoms.rooms.figures import LIE, SIT, STAND, WALK, Posture, draw_look, paint_figure


def painted(posture: Posture, facing: int = 1, stride: float = 0, seed: int = 0) -> np.ndarray:
    canvas = Canvas(np.zeros((192, 256, 3), np.float32), 1)
    look = draw_look(np.random.default_rng(seed))
    paint_figure(canvas, look, posture, (128, 170), 100, facing, stride, 0)
    return canvas.shares[0] > 0.5


def extent(mask: np.ndarray) -> tuple[int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)


def test_standing_figure_is_as_tall_as_asked_for_and_stands_on_its_foot() -> None:
    mask = painted(STAND)
    height, width = extent(mask)
    assert height == pytest.approx(100, abs=9)
    assert width < 45
    assert np.flatnonzero(mask.any(1))[-1] == pytest.approx(172, abs=4)


def test_postures_have_their_proportions() -> None:
    standing, sitting, lying = (extent(painted(posture)) for posture in (STAND, SIT, LIE))
    assert sitting[0] < 0.85 * standing[0]
    assert sitting[1] > standing[1]
    assert lying[1] > 2 * lying[0]


def test_facing_mirrors_and_walking_spreads_the_legs() -> None:
    right, left = painted(SIT, 1), painted(SIT, -1)
    assert np.flatnonzero(right.any(0)).mean() > 128 > np.flatnonzero(left.any(0)).mean()
    legs = slice(140, 175)
    assert extent(painted(WALK, stride=26)[legs])[1] > extent(painted(WALK)[legs])[1] + 15


def test_no_two_figures_look_the_same() -> None:
    looks = {draw_look(np.random.default_rng(seed)) for seed in range(20)}
    assert len({look.shirt.colour for look in looks}) == 20
    assert len({look.height for look in looks}) == 20


def test_posture_on_the_way_to_another() -> None:
    assert STAND.towards(SIT, 0) == STAND
    assert STAND.towards(SIT, 1).thighs == pytest.approx(SIT.thighs)
    assert STAND.towards(SIT, 0.5).hip == pytest.approx((STAND.hip + SIT.hip) / 2)
