"""The room: wall, floor, window, door, things that stand before figures, and things that look a little like them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from goodfit.phantoms.rooms.canvas import Canvas, Paint
from goodfit.phantoms.rooms.figures import draw_cloth, draw_colour
from goodfit.phantoms.rooms.space import HEIGHT, WIDTH, floor_at, size_at

if TYPE_CHECKING:
    from goodfit.phantoms.rooms.canvas import Array, Colour

_SKIRTING = 116.0
"""Row at which the wall meets the floor."""


@dataclass(frozen=True)
class Layout:
    """Places and looks of the furniture. x and heights in pixels; depths as in ``floor_at``."""

    bed_x: float
    bed_depth: float
    bed_height: float
    chair_x: float
    chair_depth: float
    frame: Paint
    sheet: Paint
    blanket: Paint
    seat: Paint
    table: Paint

    @property
    def bed_floor(self) -> float:
        """Row of the floor before the bed."""
        return floor_at(self.bed_depth)


BED_LENGTH = 104.0


def draw_layout(random: np.random.Generator) -> Layout:
    """Draw where things stand and how they look."""
    bed_depth = float(random.uniform(0.22, 0.4))
    grey = float(random.uniform(120, 215))
    return Layout(
        bed_x=float(random.uniform(112, 142)),
        bed_depth=bed_depth,
        bed_height=0.27 * size_at(bed_depth),
        chair_x=float(random.uniform(34, 84)),
        chair_depth=float(random.uniform(0.15, 0.4)),
        frame=Paint((grey, grey, grey + 8), rim=0.35),
        sheet=Paint(draw_colour(random, 195, 245), rim=0.15),
        blanket=draw_cloth(random),
        seat=draw_cloth(random),
        table=Paint(_wood(random), rim=0.3),
    )


def paint_room(random: np.random.Generator) -> Array:
    """Paint what stays where it is behind everything: (H, W, 3) float32, 0..255."""
    rows = np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, None, None]
    wall = np.asarray(draw_colour(random, 140, 225), np.float32) * (1.04 - 0.16 * rows)
    canvas = Canvas(np.broadcast_to(wall, (HEIGHT, WIDTH, 3)), 0)
    _floor(canvas, random)
    _window(canvas, random)
    _door(canvas, random)
    for _ in range(int(random.integers(1, 4))):
        _wall_thing(canvas, random)
    _coat_stand(canvas, random)
    noise = random.standard_normal((HEIGHT, WIDTH, 1), dtype=np.float32) * np.float32(random.uniform(2, 5))
    return np.asarray(canvas.image + noise + 7 * _patches(random)[..., None], dtype=np.float32)


def paint_bed(canvas: Canvas, layout: Layout) -> None:
    """Paint the bed with sheet and pillow, its head end on the right."""
    left, right, foot = layout.bed_x, layout.bed_x + BED_LENGTH, layout.bed_floor
    top = foot - layout.bed_height
    for leg in (left + 4, right - 4):
        canvas.capsule((leg, top), (leg, foot), (2.2, 2.2), layout.frame)
    canvas.box((left, top - 10), (right, top + 2), layout.sheet)
    canvas.box((left, top + 2), (right, top + 9), layout.frame)
    canvas.capsule((right, top - 22), (right, foot - 4), (2.6, 2.6), layout.frame)
    canvas.capsule((left, top - 12), (left, foot - 4), (2.6, 2.6), layout.frame)
    canvas.ellipse((right - 15, top - 8), (13, 6), layout.sheet)


def paint_blanket(canvas: Canvas, layout: Layout, cover: float, body: float) -> None:
    """Paint the blanket: rolled up at the feet, or drawn over a body.

    Args:
        canvas: where.
        layout: the room.
        cover: 0 rolled up, 1 drawn up to the chest.
        body: thickness in pixels of what lies below; 0 for an empty bed.
    """
    top, foot = layout.bed_floor - layout.bed_height, layout.bed_x + 6
    end = foot + 8 + cover * 47
    middle, thick = top - 0.4 * body - 3, 5 + cover * 0.42 * body
    canvas.box((foot - 4, top - 8), (end + 1, top + 3 + 7 * cover), layout.blanket)
    canvas.capsule((foot + 1, middle), (end, middle), (0.8 * thick, thick), layout.blanket)


def paint_chair(canvas: Canvas, layout: Layout) -> None:
    """Paint the chair, of the cloth that figures might wear."""
    x, foot, size = layout.chair_x, floor_at(layout.chair_depth), size_at(layout.chair_depth)
    seat = foot - 0.25 * size
    for leg in (-11, 11):
        canvas.capsule((x + leg, seat), (x + leg * 1.1, foot), (1.6, 1.4), layout.frame)
    canvas.capsule((x + 11, seat), (x + 14, seat - 0.34 * size), (4, 4), layout.seat)
    canvas.capsule((x - 10, seat), (x + 11, seat), (4.5, 4.5), layout.seat)


def paint_table(canvas: Canvas, layout: Layout) -> None:
    """Paint a low cupboard between the bed and the chair."""
    x, foot = layout.bed_x - 17, floor_at(layout.bed_depth - 0.12)
    canvas.box((x - 10, foot - 30), (x + 8, foot), layout.table)
    canvas.box((x - 12, foot - 33), (x + 10, foot - 29), layout.frame)


def _floor(canvas: Canvas, random: np.random.Generator) -> None:
    tone = np.asarray(_wood(random) if random.random() < 0.6 else draw_colour(random, 110, 190), np.float32)
    other = tone * np.float32(random.uniform(0.82, 0.95))
    canvas.box((-2, _SKIRTING), (WIDTH + 2, HEIGHT + 2), Paint(_colour(tone), rim=-0.12))
    y = np.arange(int(_SKIRTING), HEIGHT, dtype=np.float32)[:, None] + 0.5
    x = np.arange(WIDTH, dtype=np.float32)[None, :] + 0.5
    # Planks or tiles run towards a vanishing point above the room.
    along = (x - WIDTH / 2) / (y - 40) * float(random.uniform(5, 9))
    across = np.log(y - 70) * float(random.uniform(4, 7))
    joints = (np.floor(along) + np.floor(across)) % 2 if random.random() < 0.5 else np.floor(along) % 2 + 0 * y
    canvas.image[int(_SKIRTING) :] += joints[..., None] * (other - tone)
    canvas.box((-2, _SKIRTING - 3), (WIDTH + 2, _SKIRTING + 1), Paint(draw_colour(random, 90, 200)))


def _window(canvas: Canvas, random: np.random.Generator) -> None:
    x, y, wide, high = (
        float(random.uniform(90, 170)),
        float(random.uniform(10, 22)),
        52.0,
        float(random.uniform(42, 56)),
    )
    canvas.box((x - 3, y - 3), (x + wide + 3, y + high + 3), Paint((225, 225, 222)))
    canvas.box((x, y), (x + wide, y + high), Paint(draw_colour(random, 150, 250), rim=0.25))
    canvas.box((x + wide / 2 - 1.5, y), (x + wide / 2 + 1.5, y + high), Paint((225, 225, 222)))
    curtain = draw_cloth(random)
    for side in (x - 8, x + wide - 4):
        canvas.box((side, y - 5), (side + 13, y + high + 10), curtain)


def _door(canvas: Canvas, random: np.random.Generator) -> None:
    x, wood = float(random.uniform(14, 30)), Paint(_wood(random), rim=0.15)
    canvas.box((x - 3, 32), (x + 37, _SKIRTING), Paint(draw_colour(random, 150, 220)))
    canvas.box((x, 35), (x + 34, _SKIRTING), wood)
    canvas.ellipse((x + 30, 80), (2, 2), Paint((200, 190, 120)))


def _wall_thing(canvas: Canvas, random: np.random.Generator) -> None:
    """A picture, a clock, or a coat on a hook."""
    x, y = float(random.uniform(60, 240)), float(random.uniform(22, 60))
    kind = int(random.integers(3))
    if kind == 0:
        canvas.box((x - 11, y - 8), (x + 11, y + 8), Paint((60, 50, 45)))
        canvas.box((x - 9, y - 6), (x + 9, y + 6), draw_cloth(random))
    elif kind == 1:
        canvas.ellipse((x, y), (8, 8), Paint(draw_colour(random, 60, 240)))
        canvas.ellipse((x, y), (6, 6), Paint((240, 240, 235), rim=0.1))
    else:
        _coat(canvas, random, x, y + 10)


def _coat_stand(canvas: Canvas, random: np.random.Generator) -> None:
    """A coat stand with coats and mostly a hat: upright and coloured like a figure, but none."""
    x, foot = float(random.uniform(62, 240)), float(random.uniform(118, 126))
    pole = Paint(_wood(random))
    canvas.capsule((x, foot - 76), (x, foot), (1.6, 1.6), pole)
    canvas.capsule((x - 9, foot), (x + 9, foot), (1.8, 1.8), pole)
    for _ in range(int(random.integers(1, 3))):
        _coat(canvas, random, x + float(random.uniform(-7, 7)), foot - 66)
    if random.random() < 0.6:
        hat = Paint(draw_colour(random, 30, 200))
        canvas.ellipse((x, foot - 77), (9, 2.5), hat)
        canvas.ellipse((x, foot - 80), (5.5, 5), hat)


def _coat(canvas: Canvas, random: np.random.Generator, x: float, y: float) -> None:
    cloth, long = draw_cloth(random), float(random.uniform(22, 40))
    for side in (-1, 1):
        canvas.capsule((x + side * 4, y + 3), (x + side * 9, y + 0.75 * long), (3.2, 2.6), cloth)
    canvas.capsule((x, y), (x, y + long), (4.5, 8), cloth)


def _wood(random: np.random.Generator) -> Colour:
    brown = np.array((150, 105, 65)) * random.uniform(0.6, 1.4) + random.uniform(-12, 12, 3)
    return _colour(np.clip(brown, 20, 240))


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _patches(random: np.random.Generator) -> Array:
    """Smooth spots of about unit size over the whole frame."""
    from scipy.ndimage import zoom

    knots = random.standard_normal((7, 9), dtype=np.float32)
    smooth = zoom(knots, (HEIGHT / 7, WIDTH / 9), order=3, mode="nearest", grid_mode=True)
    return np.asarray(smooth, dtype=np.float32)
