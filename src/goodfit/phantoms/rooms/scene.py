"""One video's scene: room, figures, light; any frame of it is a pure function of seed, video and time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from goodfit.phantoms.rooms.acting import Actor, carer, patient, sitter, walker
from goodfit.phantoms.rooms.canvas import Canvas
from goodfit.phantoms.rooms.figures import draw_look, paint_figure
from goodfit.phantoms.rooms.furniture import (
    Layout,
    draw_layout,
    paint_bed,
    paint_blanket,
    paint_chair,
    paint_room,
    paint_table,
)
from goodfit.phantoms.rooms.space import WIDTH, floor_at, size_at

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from goodfit.phantoms.rooms.acting import Moment
    from goodfit.phantoms.rooms.canvas import Array

SMALLEST = 30
"""Visible pixels below which a figure counts as hidden."""


@dataclass(frozen=True)
class Light:
    """How the light of a scene changes: slow waves, a lamp that is switched, a window at one side."""

    level: float
    tint: tuple[float, float, float]
    wave: float
    period: float
    switch: float
    lamp: float
    slope: float

    def at(self, time: float) -> Array:
        """Give the factors (1, W, 3) of the pixels' brightness."""
        lamp = self.lamp / (1 + np.exp(-(time - self.switch) / 0.08))
        level = self.level * (1 + self.wave * np.sin(2 * np.pi * time / self.period) + lamp)
        sideways = 1 + self.slope * np.linspace(-0.5, 0.5, WIDTH, dtype=np.float32)
        return np.asarray(level * sideways[None, :, None] * np.asarray(self.tint, np.float32), dtype=np.float32)


@dataclass(frozen=True)
class Picture:
    """One frame: image (H, W, 3) uint8 and, by track number from 1, the visible part (H, W) of each figure."""

    image: npt.NDArray[np.uint8]
    masks: dict[int, npt.NDArray[np.bool_]]


class Scene:
    """A room with its figures."""

    def __init__(self, seed: int, video: int, duration: float) -> None:
        """Draw everything that stays the same throughout the video."""
        random = np.random.default_rng([seed, video])
        self._key = (seed, video)
        self._room = paint_room(random)
        self._layout = draw_layout(random)
        self._actors = _cast(random, self._layout, duration)
        self._light = _draw_light(random, duration)
        self._mirrored = bool(random.random() < 0.5)
        self._grain = float(random.uniform(2, 5))

    def at(self, time: float, number: int) -> Picture:
        """Paint the frame with this number at this time (s)."""
        moments = {track: moment for track, actor in enumerate(self._actors) if (moment := actor.at(time))}
        canvas = Canvas(self._room, len(self._actors))
        for _, paint in sorted(self._things(canvas, moments), key=lambda thing: thing[0]):
            paint()
        noise = np.random.default_rng([*self._key, number]).standard_normal(canvas.image.shape, dtype=np.float32)
        lit = canvas.image * self._light.at(time) + noise * np.float32(self._grain)
        image = np.clip(np.rint(lit), 0, 255).astype(np.uint8)
        masks = {track + 1: canvas.shares[track] > 0.5 for track in moments}
        if self._mirrored:
            image, masks = image[:, ::-1].copy(), {track: mask[:, ::-1] for track, mask in masks.items()}
        return Picture(image, {track: mask for track, mask in masks.items() if mask.sum() >= SMALLEST})

    def _things(self, canvas: Canvas, moments: dict[int, Moment]) -> list[tuple[float, Callable[[], None]]]:
        """Give depth and painting of everything that can hide something else."""
        layout = self._layout
        cover = max((moment.cover for moment in moments.values()), default=0.0)
        lying = [track for track, moment in moments.items() if moment.cover > 0 or moment.lift > 0]
        body = max((0.13 * size_at(layout.bed_depth) * self._actors[track].look.build for track in lying), default=0.0)
        things: list[tuple[float, Callable[[], None]]] = [
            (layout.bed_depth, lambda: paint_bed(canvas, layout)),
            (layout.bed_depth + 0.05, lambda: paint_blanket(canvas, layout, cover, body)),
            (layout.chair_depth, lambda: paint_chair(canvas, layout)),
            (layout.bed_depth - 0.12, lambda: paint_table(canvas, layout)),
        ]
        for track, moment in moments.items():
            things.append((moment.depth, _painting(canvas, self._actors[track], moment, track)))
        return things


def _painting(canvas: Canvas, actor: Actor, moment: Moment, track: int) -> Callable[[], None]:
    foot = (moment.x, floor_at(moment.depth) - moment.lift)
    size = actor.look.height * size_at(moment.depth)

    def paint() -> None:
        paint_figure(canvas, actor.look, moment.posture, foot, size, moment.facing, moment.stride, track)

    return paint


def _cast(random: np.random.Generator, layout: Layout, duration: float) -> tuple[Actor, ...]:
    """Two or three figures, rarely four; somebody to lie in the bed in most videos."""
    actors = [walker(random, draw_look(random), duration)]
    if random.random() < 0.75:
        actors.append(patient(random, draw_look(random), layout, duration))
    others = [
        lambda: carer(random, draw_look(random), layout, duration),
        lambda: sitter(random, draw_look(random), layout, duration),
        lambda: walker(random, draw_look(random), duration),
    ]
    actors += [others[number]() for number in random.permutation(len(others))[: 1 + (random.random() < 0.25)]]
    return tuple(actors)


def _draw_light(random: np.random.Generator, duration: float) -> Light:
    warm = float(random.uniform(-0.08, 0.08))
    return Light(
        level=float(random.uniform(0.75, 1.05)),
        tint=(1 + warm, 1.0, 1 - warm),
        wave=float(random.uniform(0.02, 0.1)),
        period=float(random.uniform(2, 8)),
        switch=float(random.uniform(0.2, 0.8)) * duration,
        lamp=float(random.choice([-0.3, -0.2, 0.2, 0.3])) if random.random() < 0.6 else 0.0,
        slope=float(random.uniform(-0.35, 0.35)),
    )
