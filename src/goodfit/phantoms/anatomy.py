"""What a phantom consists of: shapes in millimetres around the middle of the body, and their Hounsfield units.

No real anatomy, but the difficulties of one: each labelled structure shares its intensity with an unlabelled one
of another shape or place, so that context decides and no threshold does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Coordinates = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]
    Triple = tuple[float, float, float]

CLASSES = {"liver": 1, "kidney": 2, "lesion": 3}

AIR, FAT, SOFT_TISSUE, BONE = -1000.0, -95.0, 55.0, 340.0
BODY_RADII = (43.0, 48.0)
"""Half axes (y, x) of the body in mm; along z it goes on beyond the volume, as on a CT."""

RIM = 5.0
"""Thickness of the fat under the skin in mm."""


@dataclass(frozen=True)
class Part:
    """An ellipsoid, or a tube along z, with the class it belongs to.

    Attributes:
        centre: (z, y, x) in mm.
        radii: half axes in mm; infinity along z makes a tube.
        value: Hounsfield units inside.
        label: class value; 0 for everything that is not to be found.
        within: draw only where this class already is (a lesion in its organ).
    """

    centre: Triple
    radii: Triple
    value: float
    label: int = 0
    within: int | None = None

    def occupancy(self, where: Coordinates) -> npt.NDArray[np.float32]:
        """Give the share (0..1) of each point that is inside, falling from 1 to 0 over about 2 mm at the surface."""
        radius = np.zeros((), np.float32)
        for axis, centre, half in zip(where, self.centre, self.radii, strict=True):
            if np.isfinite(half):
                radius = radius + np.square((axis - np.float32(centre)) / np.float32(half))
        depth = (1 - np.sqrt(radius)) * np.float32(min(self.radii))
        return np.asarray(np.clip(depth + 0.5, 0, 1), dtype=np.float32)


@dataclass(frozen=True)
class Anatomy:
    """One body: the parts in the order in which they are drawn, later ones on top."""

    parts: tuple[Part, ...] = field(default=())


def draw_anatomy(random: np.random.Generator) -> Anatomy:
    """Draw sizes, places and intensities of one body.

    Kidneys, spleen, aorta and bowel share their intensity, and so do the liver and a muscle beside the spine; the
    lesion is as dark as the tissue around the organs, and a cyst in the bowel is as dark as the lesion. Left and right are not
    needed to tell anything apart, since training mirrors its patches.
    """
    organ = random.normal(112, 5)
    enhanced = random.normal(175, 7)
    dark = SOFT_TISSUE + random.normal(0, 5)
    liver, kidney, lesion = CLASSES["liver"], CLASSES["kidney"], CLASSES["lesion"]

    def part(centre: Triple, radii: Triple, value: float, label: int = 0, within: int | None = None) -> Part:
        moved = tuple(float(random.normal(place, 1.5)) for place in centre)
        sized = tuple(float(half * random.uniform(0.88, 1.12)) for half in radii)
        return Part((moved[0], moved[1], moved[2]), (sized[0], sized[1], sized[2]), value, label, within)

    parts = [
        Part((0, 25, 0), (float("inf"), 9, 10), BONE),
        Part((0, 31, 0), (float("inf"), 3.5, 4), SOFT_TISSUE),  # the canal
        part((0, 11, 4), (float("inf"), 5, 5), enhanced),  # aorta
        part((8, -6, -18), (24, 21, 19), organ, liver),
        part((14, -15, 3), (13, 12, 15), organ, liver),  # its left lobe
        part((10, 6, 28), (19, 15, 9), enhanced),  # spleen
        part((-10, 27, -14), (26, 5, 9), organ),  # a muscle
        part((-10, 27, 14), (26, 5, 9), organ),
        part((-10, -16, 16), (17, 13, 15), enhanced),  # bowel
        part((-24, -18, -20), (15, 10, 14), enhanced),
        part((-14, -16, 14), (6, 6, 6), dark),  # a cyst in it, no lesion
    ]
    for side in (-1, 1):
        centre = part((-12, 18, side * 23), (18, 9, 10), enhanced, kidney)
        hilum = (centre.centre[0], centre.centre[1], centre.centre[2] - side * 9)
        parts += [centre, Part(hilum, (5, 4, 5), FAT)]
    radius = random.uniform(8, 11)
    middle = np.array([9, -7, -18]) + random.uniform(-1, 1, 3) * np.array([8, 6, 5])
    parts.append(
        Part(
            (float(middle[0]), float(middle[1]), float(middle[2])),
            tuple_of(radius * random.uniform(0.8, 1.25, 3)),
            dark,
            lesion,
            within=liver,
        )
    )
    return Anatomy(tuple(parts))


def tuple_of(values: npt.NDArray[np.float64]) -> Triple:
    """Give three numbers as a tuple."""
    return float(values[0]), float(values[1]), float(values[2])


def render(anatomy: Anatomy, where: Coordinates) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Draw a body at the given points.

    Args:
        anatomy: what to draw.
        where: (z, y, x) coordinates in mm of every point, already moved by pose and deformation; equal shapes.

    Returns:
        Hounsfield units (Z, Y, X) and the share of each class (classes, Z, Y, X), in the order of ``CLASSES``.
    """
    height, width = BODY_RADII
    far = float("inf")
    body = Part((0, 0, 0), (far, height, width), FAT).occupancy(where)
    inside = Part((0, 0, 0), (far, height - RIM, width - RIM), SOFT_TISSUE).occupancy(where)
    image = AIR + body * (FAT - AIR) + inside * (SOFT_TISSUE - FAT)
    shares = np.zeros((len(CLASSES), *image.shape), np.float32)
    for part in anatomy.parts:
        cover = part.occupancy(where) * inside
        if part.within is not None:
            cover = cover * shares[part.within - 1]
        image += cover * (np.float32(part.value) - image)
        shares *= 1 - cover
        if part.label:
            shares[part.label - 1] += cover
    return image, shares
