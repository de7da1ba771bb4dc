from __future__ import annotations

import numpy as np

from goodfit.phantoms.rooms.canvas import Canvas
from goodfit.phantoms.rooms.furniture import (
    BED_LENGTH,
    draw_layout,
    paint_bed,
    paint_blanket,
    paint_chair,
    paint_room,
    paint_table,
)
from goodfit.phantoms.rooms.space import HEIGHT, WIDTH, floor_at, size_at


def test_rooms_are_textured_and_differ() -> None:
    rooms = [paint_room(np.random.default_rng(seed)) for seed in range(4)]
    for room in rooms:
        assert room.shape == (HEIGHT, WIDTH, 3)
        assert room.dtype == np.float32
        assert room[:100].std() > 8
        assert room[130:].std() > 3
    assert min(np.abs(rooms[0] - other).mean() for other in rooms[1:]) > 10


def test_furniture_stays_in_the_picture() -> None:
    for seed in range(20):
        layout = draw_layout(np.random.default_rng(seed))
        assert layout.bed_x > 0
        assert layout.bed_x + BED_LENGTH < WIDTH
        assert 0 < layout.chair_x < layout.bed_x
        assert 0 < layout.bed_floor < HEIGHT


def test_each_piece_is_painted() -> None:
    layout = draw_layout(np.random.default_rng(0))
    for paint in (paint_bed, paint_chair, paint_table, lambda canvas, room: paint_blanket(canvas, room, 1, 12)):
        canvas = Canvas(np.full((HEIGHT, WIDTH, 3), -1, np.float32), 0)
        paint(canvas, layout)
        assert (canvas.image != -1).any(2).sum() > 150


def test_blanket_drawn_up_covers_more_but_not_the_head_end() -> None:
    layout = draw_layout(np.random.default_rng(0))
    covered = []
    for cover in (0.0, 1.0):
        canvas = Canvas(np.full((HEIGHT, WIDTH, 3), -1, np.float32), 0)
        paint_blanket(canvas, layout, cover, 12)
        covered.append((canvas.image != -1).any(2))
    assert covered[1].sum() > 2 * covered[0].sum()
    assert not covered[1][:, int(layout.bed_x + 0.75 * BED_LENGTH) :].any()


def test_far_things_are_higher_up_and_smaller() -> None:
    assert floor_at(0) < floor_at(1) < HEIGHT
    assert 40 < size_at(0) < size_at(1) < 120
