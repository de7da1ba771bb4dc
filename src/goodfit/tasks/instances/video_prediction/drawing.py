"""Drawing marks into frames: mask, outline, box and a label.

Written here since it works on the parts of a frame that a mark covers, in place; the annotators of ``supervision``
go over the whole frame for each of the four.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from goodfit.tasks.instances.tracking.tracker import UNTRACKED

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from PIL.ImageFont import FreeTypeFont

    from goodfit.tasks.instances.video_prediction.marks import Cut, Mark

    Image = npt.NDArray[np.uint8]
    Colour = tuple[int, int, int]

_COVER = 0.4
"""Share of the colour within a mask."""

_GOLDEN = 0.618034
"""Step of the hue from one number to the next: neighbours differ, and colours repeat late."""


@dataclass(frozen=True)
class Style:
    """Sizes in pixels, which follow the size of the image.

    Attributes:
        line: thickness of boxes.
        font: height of the letters' line.
    """

    line: int
    font: int

    @staticmethod
    def for_size(height: int, width: int) -> Style:
        """Choose for an image of this size."""
        side = min(height, width)
        return Style(line=max(1, round(side / 360)), font=max(10, round(side / 34)))


class Artist:
    """Draws marks into images of one size.

    Args:
        categories: names, for category 1 on.
        style: sizes.
    """

    def __init__(self, categories: Sequence[str], style: Style) -> None:
        self._categories = tuple(categories)
        self._style = style
        self._label = lru_cache(maxsize=1024)(self._write)

    def draw(self, image: Image, marks: Sequence[Mark]) -> None:
        """Draw into ``image`` (H, W, 3) uint8 RGB, which is changed; large marks first, small ones on top."""
        ordered = sorted(marks, key=lambda mark: -_area(mark))
        for mark in ordered:
            if mark.cut is not None:
                _draw_mask(image, mark.cut, colour_of(mark))
        for mark in ordered:
            _draw_box(image, mark, self._style.line)
        for mark in ordered:
            self._draw_label(image, mark)

    def text(self, mark: Mark) -> str:
        """Give a mark's label: name, number of the track, score."""
        name = self._categories[mark.category - 1]
        number = f" {mark.identity}" if mark.identity != UNTRACKED else ""
        return f"{name}{number}  {mark.score:.2f}"

    def _draw_label(self, image: Image, mark: Mark) -> None:
        label = self._label(self.text(mark), colour_of(mark))
        height, width = label.shape[:2]
        x = min(max(0, round(mark.box[0])), max(0, image.shape[1] - width))
        above = round(mark.box[1]) - height
        y = min(above if above >= 0 else max(0, round(mark.box[1])), max(0, image.shape[0] - height))
        part = image[y : y + height, x : x + width]
        part[...] = label[: part.shape[0], : part.shape[1]]

    def _write(self, text: str, colour: Colour) -> Image:
        """Make the picture of a label, dark or light letters by the brightness of the ground."""
        from PIL import Image as Pictures
        from PIL import ImageDraw

        font = _font(self._style.font)
        left, top, right, bottom = font.getbbox(text)
        ascent, descent = font.getmetrics()
        width = round(right - left) + self._style.font // 2
        picture = Pictures.new("RGB", (width, max(ascent + descent, round(bottom - top))), colour)
        letters = (0, 0, 0) if np.dot(colour, (0.299, 0.587, 0.114)) > 140 else (255, 255, 255)
        ImageDraw.Draw(picture).text((self._style.font // 4 - left, 0), text, font=font, fill=letters)
        return np.asarray(picture, dtype=np.uint8)


def colour_of(mark: Mark) -> Colour:
    """Choose the colour by the track; without one by the category."""
    return palette(mark.identity if mark.identity != UNTRACKED else mark.category)


@lru_cache(maxsize=4096)
def palette(number: int) -> Colour:
    """Give the colour of a number: all hues, three levels of brightness."""
    import colorsys

    value = (1.0, 0.85, 0.95)[number % 3]
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN % 1, 0.55 + 0.25 * (number % 2), value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _area(mark: Mark) -> float:
    return (mark.box[2] - mark.box[0]) * (mark.box[3] - mark.box[1])


def _draw_mask(image: Image, cut: Cut, colour: Colour) -> None:
    height, width = image.shape[:2]
    inside = cut.inside[max(0, -cut.y) : height - cut.y, max(0, -cut.x) : width - cut.x]
    if inside.size == 0:
        return
    part = image[max(0, cut.y) : max(0, cut.y) + inside.shape[0], max(0, cut.x) : max(0, cut.x) + inside.shape[1]]
    # Beyond the cut there is nothing, but the image's edge is no outline.
    framed = np.pad(inside, 1)
    core = framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    pixels = part[inside].astype(np.uint16)
    ground = np.asarray(colour, np.uint16) * round(_COVER * 256)
    part[inside] = ((pixels * (256 - round(_COVER * 256)) + ground) >> 8).astype(np.uint8)
    part[inside & ~core] = colour


def _draw_box(image: Image, mark: Mark, line: int) -> None:
    height, width = image.shape[:2]
    x0, y0 = (min(max(0, round(value)), side - 1) for value, side in zip(mark.box[:2], (width, height), strict=True))
    x1, y1 = (min(max(1, round(value)), side) for value, side in zip(mark.box[2:], (width, height), strict=True))
    colour = colour_of(mark)
    image[y0 : y0 + line, x0:x1] = colour
    image[max(y0, y1 - line) : y1, x0:x1] = colour
    image[y0:y1, x0 : x0 + line] = colour
    image[y0:y1, max(x0, x1 - line) : x1] = colour


@lru_cache(maxsize=8)
def _font(size: int) -> FreeTypeFont:
    """Load matplotlib's copy of DejaVu Sans, which knows the letters of most alphabets."""
    from pathlib import Path

    import matplotlib as mpl
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)
