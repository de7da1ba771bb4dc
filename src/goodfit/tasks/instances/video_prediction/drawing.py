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

_FULL, _COVER = 64, 26
"""Shares of the colour in the outline and within a mask, in 64ths: their products with a byte fit into 16 bits."""

_BRIGHTNESS = np.array((0.299, 0.587, 0.114), np.float32)
_BRIGHT = 140.0
"""Brightness of a ground from which letters are black; on a darker one they are white."""

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
        # Names with numbers return often and scores are a hundred: their letters are set once.
        self._letters = lru_cache(maxsize=2048)(_letters)

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

    def text(self, mark: Mark) -> tuple[str, str]:
        """Give a mark's label: name with the number of the track, and score."""
        name = self._categories[mark.category - 1]
        return (f"{name} {mark.identity}" if mark.identity != UNTRACKED else name), f"{mark.score:.2f}"

    def _draw_label(self, image: Image, mark: Mark) -> None:
        colour = np.asarray(colour_of(mark), np.float32)
        shade = np.concatenate([self._letters(part, self._style.font) for part in self.text(mark)], axis=1)
        height, width = shade.shape
        x = min(max(0, round(mark.box[0])), max(0, image.shape[1] - width))
        above = round(mark.box[1]) - height
        y = min(above if above >= 0 else max(0, round(mark.box[1])), max(0, image.shape[0] - height))
        part = image[y : y + height, x : x + width]
        letters = np.float32(0 if colour @ _BRIGHTNESS > _BRIGHT else 255)
        label = colour + shade[: part.shape[0], : part.shape[1], None] * (letters - colour)
        part[...] = label.astype(np.uint8)


def _letters(text: str, font_size: int) -> npt.NDArray[np.float32]:
    """Set a text: (H, W), 1 in the letters, 0 around them; all of one height."""
    from PIL import Image as Pictures
    from PIL import ImageDraw

    font = _font(font_size)
    left, _, right, _ = font.getbbox(text)
    picture = Pictures.new("L", (round(right - left) + font_size // 2, sum(font.getmetrics())))
    ImageDraw.Draw(picture).text((font_size // 4 - left, 0), text, font=font, fill=255)
    return np.asarray(picture, dtype=np.float32) / np.float32(255)


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
    rows, columns = inside.shape
    # Beyond the cut there is nothing, so that its edge pixels are outline.
    framed = np.zeros((rows + 2, columns + 2), np.bool_)
    framed[1:-1, 1:-1] = inside
    core = framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    # Whole rectangles in small integers: three times as fast as picking the pixels of the mask.
    share = np.where(core, np.int16(_COVER), np.int16(_FULL)) * inside
    pixels = part.astype(np.int16)
    part[...] = pixels + (((np.asarray(colour, np.int16) - pixels) * share[..., None]) >> 6)


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
