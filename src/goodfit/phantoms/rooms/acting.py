"""What figures do: the places and postures of a script, and where its figure is at any time."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from goodfit.phantoms.rooms.figures import LIE, SIT, STAND, WALK, Look, Posture
from goodfit.phantoms.rooms.space import WIDTH, size_at

if TYPE_CHECKING:
    from goodfit.phantoms.rooms.furniture import Layout

_STEP_LENGTH = 0.36
"""Way of one step as a share of the body height."""

_SWING = 21.0
"""Largest angle of a walking leg, degrees."""


@dataclass(frozen=True)
class Key:
    """Where a figure is at one time (s), how it holds itself, and how far it is covered (0..1) by the blanket."""

    time: float
    x: float
    depth: float
    posture: Posture
    lift: float = 0.0
    cover: float = 0.0


@dataclass(frozen=True)
class Moment:
    """What is to be painted of a figure at one time; see ``paint_figure``."""

    x: float
    depth: float
    lift: float
    posture: Posture
    facing: int
    stride: float
    cover: float


@dataclass(frozen=True)
class Actor:
    """A figure and its script, keys in the order of time; away before the first and after the last."""

    look: Look
    keys: tuple[Key, ...]
    pace: float

    def at(self, time: float) -> Moment | None:
        """Give the figure's state, or None while it is away."""
        if not self.keys[0].time <= time <= self.keys[-1].time:
            return None
        after = min(bisect.bisect_right([key.time for key in self.keys], time), len(self.keys) - 1)
        old, new = self.keys[after - 1], self.keys[after]
        share = (time - old.time) / max(new.time - old.time, 1e-6)
        eased = share * share * (3 - 2 * share)
        upright = old.posture is STAND and new.posture is STAND
        walking = upright and abs(new.x - old.x) > 4
        moved = share if upright else eased
        x, depth = old.x + moved * (new.x - old.x), old.depth + moved * (new.depth - old.depth)
        posture, stride = old.posture.towards(new.posture, eased), 0.0
        if walking:
            # Walking fades in and out over the first and last tenth of the way.
            strength = min(1.0, 10 * share, 10 * (1 - share))
            posture = STAND.towards(WALK, strength)
            stride = strength * _SWING * float(np.sin(np.pi * x / (_STEP_LENGTH * size_at(depth)) + self.pace))
        return Moment(
            x=x,
            depth=depth,
            lift=old.lift + eased * (new.lift - old.lift),
            posture=posture,
            facing=self._facing(after),
            stride=stride,
            cover=old.cover + eased * (new.cover - old.cover),
        )

    def _facing(self, after: int) -> int:
        """Direction of the way that is walked, or of the last one before a rest."""
        if any(key.posture is LIE for key in self.keys[after - 1 : after + 1]):
            return -1
        for number in range(after, 0, -1):
            way = self.keys[number].x - self.keys[number - 1].x
            if abs(way) > 4:
                return 1 if way > 0 else -1
        return 1


def walker(random: np.random.Generator, look: Look, duration: float) -> Actor:
    """Somebody who crosses the room from one side to the other, and mostly comes back."""
    sides = [-22.0, WIDTH + 22.0]
    if random.random() < 0.5:
        sides.reverse()
    depth = float(random.uniform(0.4, 1))
    time = float(random.uniform(-1.5, 0.25 * duration))
    keys = [Key(time, sides[0], depth, STAND)]
    way = sides[1] - sides[0]
    for stop in sorted(random.uniform(0.2, 0.8, int(random.integers(0, 3)))):
        time += abs(sides[0] + way * stop - keys[-1].x) / float(random.uniform(38, 60))
        depth = float(np.clip(depth + random.normal(0, 0.15), 0.35, 1))
        keys.append(Key(time, sides[0] + way * float(stop), depth, STAND))
        time += float(random.uniform(0.3, 1.5))
        keys.append(Key(time, keys[-1].x, depth, STAND))
    time += abs(sides[1] - keys[-1].x) / float(random.uniform(38, 60))
    keys.append(Key(time, sides[1], depth, STAND))
    if time < 0.75 * duration:
        time += float(random.uniform(0.5, 1))
        depth = float(random.uniform(0.4, 1))
        keys.append(Key(time, sides[1], depth, STAND))
        keys.append(Key(time + abs(way) / float(random.uniform(42, 60)), sides[0], depth, STAND))
    return Actor(look, tuple(keys), float(random.uniform(0, np.pi)))


def carer(random: np.random.Generator, look: Look, layout: Layout, duration: float) -> Actor:
    """Somebody who goes to and fro around the bed, behind it or in front, and so hides who lies there."""
    time, keys = -1.0, [Key(-1.0, float(random.uniform(40, WIDTH - 40)), float(random.uniform(0.35, 0.9)), STAND)]
    while time < duration:
        x = float(np.clip(random.normal(layout.bed_x + 50, 55), 16, WIDTH - 16))
        behind = random.random() < 0.3 and x > layout.bed_x
        depth = layout.bed_depth - 0.2 if behind else float(random.uniform(layout.bed_depth + 0.12, 0.95))
        time += max(abs(x - keys[-1].x) / float(random.uniform(35, 55)), 0.4)
        keys.append(Key(time, x, depth, STAND))
        time += float(random.uniform(0.4, 2))
        keys.append(Key(time, x, depth, STAND))
    return Actor(look, tuple(keys), float(random.uniform(0, np.pi)))


def sitter(random: np.random.Generator, look: Look, layout: Layout, duration: float) -> Actor:
    """Somebody who comes, sits on the chair for a while and leaves; or sits there from the start."""
    seat = (layout.chair_x, layout.chair_depth + 0.03)
    start = float(random.uniform(-4, 0.25 * duration))
    arrival = start + (layout.chair_x + 22) / 45
    rising = arrival + float(random.uniform(0.45, 0.9)) * duration
    return Actor(
        look,
        (
            Key(start, -22, layout.chair_depth + 0.15, STAND),
            Key(arrival, *seat, STAND),
            Key(arrival + 1, *seat, SIT),
            Key(rising, *seat, SIT),
            Key(rising + 1, *seat, STAND),
            Key(rising + 1 + (layout.chair_x + 22) / 45, -22, layout.chair_depth + 0.25, STAND),
        ),
        float(random.uniform(0, np.pi)),
    )


def patient(random: np.random.Generator, look: Look, layout: Layout, duration: float) -> Actor:
    """Somebody who lies down, is covered, and gets up; or who lies there from the start, or to the end."""
    x, depth, lift = layout.bed_x + 48, layout.bed_depth + 0.04, layout.bed_height
    cover = float(random.uniform(0.55, 1)) if random.random() < 0.8 else 0.0
    down = float(random.uniform(-6, 0.35 * duration))
    rising = down + float(random.uniform(0.5, 1.2)) * duration
    near = (x - 4, depth + 0.06)
    keys = (
        Key(down - 3.5, -22, depth + 0.3, STAND),
        Key(down, *near, STAND),
        Key(down + 0.8, x, depth, SIT),
        Key(down + 2, x, depth, LIE, lift),
        Key(down + 2.6, x, depth, LIE, lift),
        Key(down + 3.4, x, depth, LIE, lift, cover),
        Key(rising, x, depth, LIE, lift, cover),
        Key(rising + 0.8, x, depth, LIE, lift),
        Key(rising + 2, x, depth, SIT),
        Key(rising + 2.8, *near, STAND),
        Key(rising + 6, -22, depth + 0.3, STAND),
    )
    return Actor(look, keys if rising > down + 3.4 else keys[:6], float(random.uniform(0, np.pi)))
