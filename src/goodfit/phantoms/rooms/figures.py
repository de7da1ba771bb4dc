"""People-like figures: how one looks, how it holds itself, and how it is painted."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from goodfit.phantoms.rooms.canvas import Paint

if TYPE_CHECKING:
    import numpy as np

    from goodfit.phantoms.rooms.canvas import Canvas, Colour, Point

HEAD, TORSO, THIGH, SHIN, UPPER_ARM, FOREARM = 0.085, 0.28, 0.235, 0.225, 0.16, 0.14
"""Radius of the head and lengths of the limbs, as shares of the body height."""

SKIN: tuple[Colour, ...] = ((241, 200, 170), (224, 172, 135), (186, 132, 96), (130, 88, 62), (92, 62, 46))
HAIR: tuple[Colour, ...] = ((40, 30, 25), (90, 60, 35), (170, 130, 70), (190, 190, 188), (25, 25, 30), (140, 60, 30))


@dataclass(frozen=True)
class Look:
    """What a figure keeps all its life: size, build and colours."""

    height: float
    build: float
    skin: Paint
    hair: Paint
    shirt: Paint
    trousers: Paint
    shoes: Paint
    long_hair: bool


@dataclass(frozen=True)
class Posture:
    """Angles in degrees, positive towards where the figure faces; limbs hang straight down at 0.

    Attributes:
        torso: lean of the trunk.
        thighs: of both legs; the shins follow with their own angles.
        shins: of both lower legs.
        arms: of both upper arms.
        forearms: of both lower arms.
        hip: height of the hip above the floor (or the bed), as a share of the body height.
        front: 1 seen from the front, 0 from the side.
    """

    torso: float
    thighs: float
    shins: float
    arms: float
    forearms: float
    hip: float
    front: float

    def towards(self, other: Posture, share: float) -> Posture:
        """Give the posture on the way to ``other``."""
        return Posture(
            **{
                field.name: getattr(self, field.name) + share * (getattr(other, field.name) - getattr(self, field.name))
                for field in fields(self)
            }
        )


STAND = Posture(torso=2, thighs=0, shins=0, arms=3, forearms=8, hip=THIGH + SHIN, front=0.9)
WALK = Posture(torso=5, thighs=0, shins=-6, arms=0, forearms=18, hip=THIGH + SHIN - 0.01, front=0.35)
SIT = Posture(torso=-4, thighs=82, shins=2, arms=25, forearms=65, hip=SHIN + 0.03, front=0.25)
LIE = Posture(torso=-84, thighs=90, shins=88, arms=70, forearms=98, hip=0.07, front=0.15)


def draw_look(random: np.random.Generator) -> Look:
    """Draw one figure's size and colours."""
    skin = SKIN[int(random.integers(len(SKIN)))]
    hair = HAIR[int(random.integers(len(HAIR)))]
    return Look(
        height=float(random.uniform(0.86, 1.1)),
        build=float(random.uniform(0.92, 1.2)),
        skin=Paint(skin, rim=0.22),
        hair=Paint(hair, rim=0.15),
        shirt=draw_cloth(random),
        trousers=Paint(draw_colour(random, 30, 150), rim=0.3),
        shoes=Paint(draw_colour(random, 20, 90), rim=0.3),
        long_hair=bool(random.random() < 0.4),
    )


def draw_cloth(random: np.random.Generator) -> Paint:
    """Draw the look of a cloth, which coats, curtains and blankets share with what figures wear."""
    plain = draw_colour(random, 50, 235)
    if random.random() < 0.5:
        return Paint(plain, rim=0.3)
    checks = float(random.integers(1, 4)) if random.random() < 0.4 else 0.0
    return Paint(plain, draw_colour(random, 50, 235), float(random.integers(3, 7)), checks, rim=0.3)


def draw_colour(random: np.random.Generator, darkest: float, brightest: float) -> Colour:
    """Draw a colour, each channel between two values."""
    red, green, blue = (float(value) for value in random.uniform(darkest, brightest, 3))
    return red, green, blue


def paint_figure(
    canvas: Canvas,
    look: Look,
    posture: Posture,
    foot: Point,
    size: float,
    facing: int,
    stride: float,
    instance: int,
) -> None:
    """Paint a figure.

    Args:
        canvas: where.
        look: size and colours.
        posture: how it holds itself.
        foot: point (x, y) on the floor, or on the mattress, below the hip.
        size: body height in pixels.
        facing: 1 to the right, -1 to the left.
        stride: angle in degrees by which the legs are apart from their posture, one forward, one backward.
        instance: its number on the canvas.
    """
    hip = (foot[0], foot[1] - posture.hip * size)
    lean = math.radians(posture.torso)
    up = (facing * math.sin(lean), -math.cos(lean))
    across = (-up[1], up[0])
    neck = _along(hip, up, TORSO * size)
    head = _along(neck, up, (HEAD + 0.055) * size)
    half_shoulder, half_hip = (0.035 + 0.06 * posture.front) * size, (0.015 + 0.03 * posture.front) * size
    broad = look.build * size

    def limb(root: Point, lengths: Point, angles: Point, radii: Point, upper: Paint, lower: Paint) -> Point:
        joint = _hang(root, lengths[0] * size, angles[0], facing)
        end = _hang(joint, lengths[1] * size, angles[1], facing)
        thick, thin = radii[0] * broad, radii[1] * broad
        canvas.capsule(root, joint, (thick, thin * 1.15), upper, instance)
        canvas.capsule(joint, end, (thin * 1.1, thin * 0.8), lower, instance)
        return end

    def arm(side: int) -> None:
        root = _along(_along(neck, across, side * half_shoulder), up, -0.035 * size)
        swing = posture.arms - side * 0.8 * stride
        hand = limb(
            root, (UPPER_ARM, FOREARM), (swing, swing + posture.forearms), (0.046, 0.039), look.shirt, look.skin
        )
        canvas.ellipse(hand, (0.034 * broad, 0.034 * broad), look.skin, instance)

    def leg(side: int) -> None:
        root = _along(hip, across, side * half_hip)
        swing = side * stride
        bend = posture.shins - max(0.0, -swing) * 0.5 + swing * 0.6
        foot_end = limb(
            root, (THIGH, SHIN), (posture.thighs + swing, bend), (0.07, 0.054), look.trousers, look.trousers
        )
        toe = _hang(foot_end, 0.05 * size, bend + 80, facing)
        canvas.capsule(foot_end, toe, (0.038 * broad, 0.03 * broad), look.shoes, instance)

    arm(-1)
    leg(-1)
    leg(1)
    wide = (0.068 + 0.042 * posture.front) * broad
    canvas.capsule(hip, _along(neck, up, -0.06 * size), (wide * 0.9, wide * 1.12), look.shirt, instance)
    canvas.capsule(neck, head, (0.042 * broad, 0.042 * broad), look.skin, instance)
    if look.long_hair:
        behind = _along(head, across, -facing * (1 - posture.front) * 0.04 * size)
        canvas.capsule(behind, _along(behind, up, -0.1 * size), (HEAD * size, HEAD * 0.85 * size), look.hair, instance)
    canvas.ellipse(head, (HEAD * 0.92 * size, HEAD * 1.05 * size), look.skin, instance)
    crown = _along(_along(head, up, HEAD * 0.55 * size), across, -facing * (1 - posture.front) * HEAD * 0.35 * size)
    canvas.ellipse(crown, (HEAD * 0.85 * size, HEAD * 0.62 * size), look.hair, instance)
    arm(1)


def _along(point: Point, direction: Point, length: float) -> Point:
    return point[0] + direction[0] * length, point[1] + direction[1] * length


def _hang(point: Point, length: float, angle: float, facing: int) -> Point:
    """End of a limb of this length whose angle is counted from straight down."""
    turned = math.radians(angle)
    return point[0] + facing * math.sin(turned) * length, point[1] + math.cos(turned) * length
