"""Drawing what happens to each frame of a batch, as plain values that can be recorded and replayed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goodfit.tasks.streams import Purpose, stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goodfit.planning.instances.plan import InstanceAugmentation

BLUR_SIGMA = (0.5, 1.5)
"""Pixels, smallest and largest."""
_NUMBERS = 16  # drawn for each frame, whatever happens to it, so that no decision shifts another


@dataclass(frozen=True)
class Placement:
    """A frame made larger or smaller within its own canvas.

    Attributes:
        factor: of its sides.
        down: where it lies, or what is cut off: 0 at the top, 1 at the bottom.
        right: 0 at the left, 1 at the right.
    """

    factor: float
    down: float
    right: float


@dataclass(frozen=True)
class Colour:
    """Factors of brightness, contrast and saturation, and a turn of the hue (share of the circle)."""

    brightness: float
    contrast: float
    saturation: float
    hue: float


@dataclass(frozen=True)
class FrameChange:
    """What happens to one frame, in this order; None or 0 where nothing does.

    Attributes:
        flip_horizontal: left and right change places.
        flip_vertical: top and bottom change places.
        quarter_turns: times 90 degrees against the clock.
        placement: change of size.
        colour: change of colours.
        grey: without colours.
        blur: standard deviation in pixels.
    """

    flip_horizontal: bool = False
    flip_vertical: bool = False
    quarter_turns: int = 0
    placement: Placement | None = None
    colour: Colour | None = None
    grey: bool = False
    blur: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values only; ``json`` writes and reads them without loss."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> FrameChange:
        """Undo :meth:`to_dict`."""
        placement, colour = value["placement"], value["colour"]
        fields = dict(value) | {
            "placement": None if placement is None else Placement(**placement),
            "colour": None if colour is None else Colour(**colour),
        }
        return cls(**fields)


def draw(settings: InstanceAugmentation, seed: int, step: int, batch_size: int) -> tuple[FrameChange, ...]:
    """Draw what happens to the frames of one batch, a pure function of the arguments.

    What happens to a frame depends on its position in the batch, not on the size of the batch.

    Args:
        settings: ranges and probabilities.
        seed: seed of the run, not negative.
        step: optimizer step, not negative.
        batch_size: number of frames.
    """
    rows = stream(Purpose.AUGMENTATION, seed, step).random((batch_size, _NUMBERS)).tolist()
    return tuple(_draw_frame(settings, row) for row in rows)


def _draw_frame(settings: InstanceAugmentation, u: list[float]) -> FrameChange:
    smallest, largest = settings.scale_range
    placement = colour = blur = None
    if largest > smallest or largest != 1:
        # Uniform in the logarithm: half as large is as likely as twice as large.
        placement = Placement(smallest * (largest / smallest) ** u[4], u[5], u[6])
    if u[7] < settings.colour:
        colour = Colour(
            _around(1, settings.brightness, u[8]),
            _around(1, settings.contrast, u[9]),
            _around(1, settings.saturation, u[10]),
            _around(0, settings.hue, u[11]),
        )
    if u[13] < settings.blur:
        blur = BLUR_SIGMA[0] + u[14] * (BLUR_SIGMA[1] - BLUR_SIGMA[0])
    return FrameChange(
        flip_horizontal=u[0] < settings.flip_horizontal,
        flip_vertical=u[1] < settings.flip_vertical,
        quarter_turns=1 + int(3 * u[3]) if u[2] < settings.quarter_turns else 0,
        placement=placement,
        colour=colour,
        grey=u[12] < settings.grey,
        blur=blur,
    )


def _around(middle: float, reach: float, u: float) -> float:
    return middle + (2 * u - 1) * reach
