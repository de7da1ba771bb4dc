from __future__ import annotations

import numpy as np
import pytest

from goodfit.phantoms.rooms.canvas import Canvas, Paint

RED, BLUE = Paint((255, 0, 0), rim=0), Paint((0, 0, 255), rim=0)


def blank(instances: int = 2) -> Canvas:
    return Canvas(np.full((40, 60, 3), 100, np.float32), instances)


def test_capsule_covers_its_middle_and_nothing_else() -> None:
    canvas = blank()
    canvas.capsule((10, 20), (30, 20), (4, 4), RED, 0)
    assert canvas.image[20, 20].tolist() == [255, 0, 0]
    assert canvas.image[30, 20].tolist() == [100, 100, 100]
    expected = 20 * 8 + np.pi * 4**2
    assert canvas.shares[0].sum() == pytest.approx(expected, rel=0.02)


def test_ellipse_and_box_have_their_areas() -> None:
    canvas = blank()
    canvas.ellipse((15, 20), (9, 6), RED, 0)
    canvas.box((35.0, 5.0), (50.0, 30.0), BLUE, 1)
    assert canvas.shares[0].sum() == pytest.approx(np.pi * 54, rel=0.03)
    assert canvas.shares[1].sum() == pytest.approx(15 * 25, rel=0.01)


def test_what_is_painted_later_hides_what_was_there() -> None:
    canvas = blank()
    canvas.box((10, 10), (30, 30), RED, 0)
    canvas.box((20, 5), (40, 35), BLUE, 1)
    canvas.box((20, 5), (25, 35), RED)
    masks = canvas.shares > 0.5
    assert not (masks[0] & masks[1]).any()
    assert masks[0].sum() == 10 * 20
    assert masks[1].sum() == 15 * 30
    assert canvas.shares.sum(0).max() <= 1 + 1e-6


@pytest.mark.parametrize("place", [(-30.0, 20.0), (90.0, 20.0), (20.0, -30.0), (20.0, 90.0)])
def test_shapes_beyond_the_edge_change_nothing(place: tuple[float, float]) -> None:
    canvas = blank()
    canvas.ellipse(place, (5, 5), RED, 0)
    canvas.capsule(place, place, (5, 5), RED, 0)
    canvas.box(place, (place[0] + 5, place[1] + 5), RED, 0)
    assert (canvas.image == 100).all()
    assert canvas.shares.sum() == 0


def test_patterns_show_both_colours() -> None:
    along = np.linspace(0, 1, 50, dtype=np.float32)[:, None] + np.zeros((1, 50), np.float32)
    for paint in (Paint((0, 0, 0), (200, 200, 200), 4), Paint((0, 0, 0), (200, 200, 200), 4, 3)):
        values = paint.at(along, along.T)
        assert values.shape == (50, 50, 3)
        assert values.min() == pytest.approx(0)
        assert values.max() == pytest.approx(200)
