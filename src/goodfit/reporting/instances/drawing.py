"""Drawing a frame with its reference (outlines) and what was found in it (filled, with box, name and score)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from goodfit.data.instances.masks import decode_mask
from goodfit.data.instances.model import Instance
from goodfit.reporting.colours import class_colours
from goodfit.tasks.instances.matching import MATCH_SCORE, match_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from goodfit.data.instances.model import Frame
    from goodfit.tasks.instances.detection import Detection

    Mask = npt.NDArray[np.bool_]
    Picture = npt.NDArray[np.uint8]

LONGER_SIDE = 480
"""Pixels of the longer side of a picture in the page."""
FOUND, MISSED = "#ffffff", "#ff2550"
"""Outlines of the reference; style.css has the same for the legend."""
_FILL = 0.45
_QUALITY = 82
_TEXT = 11
_HALO = (0, 0, 0)


def draw_frame(
    image: Picture,
    frame: Frame,
    detection: Detection,
    categories: Sequence[str],
    *,
    masks: bool,
    score: float = MATCH_SCORE,
    longer_side: int = LONGER_SIDE,
) -> tuple[bytes, int, int]:
    """Draw a frame.

    Objects of the reference are outlined in white, missed ones in red; crowds are not drawn. Detections from
    ``score`` on are filled in the colour of their category.

    Args:
        image: (H, W, 3), of any size with the frame's proportions.
        frame: with its objects.
        detection: in the frame's own pixels.
        categories: their names.
        masks: outline masks rather than boxes.
        score: least score of a detection that is drawn.
        longer_side: of the picture, in pixels.

    Returns:
        The picture as JPEG, its width and its height.
    """
    scale = longer_side / max(frame.height, frame.width)
    size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    pixels = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)).astype(np.float32)
    match = match_frame(frame, detection, masks=masks, score=score)
    shown = sorted([pair.detection for pair in (*match.found, *match.confused)] + match.false, reverse=True)
    colours = list(class_colours(categories).values())
    masked = masks and detection.masks is not None
    if masked:
        for place in shown:
            mask = _detected(detection, place, frame, size)
            pixels[mask] = (1 - _FILL) * pixels[mask] + _FILL * np.array(_rgb(colours[_category(detection, place)]))
    true = [
        (place, _true(frame, place, size, masks=masks)) for place, one in enumerate(frame.instances) if not one.crowd
    ]
    found = {pair.instance for pair in match.found}
    for place, mask in sorted(true, key=lambda entry: entry[0] not in found):
        _outline(pixels, mask, _rgb(FOUND if place in found else MISSED))
    picture = Image.fromarray(pixels.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(_TEXT)
    for place in shown:
        category = _category(detection, place)
        x0, y0, x1, y1 = (float(side) * scale for side in detection.boxes[place])
        draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colours[category], width=1 if masked else 2)
        words = f"{categories[category]} {detection.scores[place]:.2f}"
        _label(draw, (x0, y0), words, colours[category], font, size)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY, optimize=True)
    return file.getvalue(), *size


def _category(detection: Detection, place: int) -> int:
    """Category of a detection, counted from 0."""
    return int(detection.categories[place]) - 1


def _detected(detection: Detection, place: int, frame: Frame, size: tuple[int, int]) -> Mask:
    assert detection.masks is not None
    x0, y0, x1, y1 = (float(side) for side in detection.boxes[place])
    one = Instance(1, (x0, y0, x1, y1), detection.masks[place], 0.0)
    return _resized(decode_mask(one, frame.height, frame.width), size)


def _true(frame: Frame, place: int, size: tuple[int, int], *, masks: bool) -> Mask:
    one = frame.instances[place]
    if masks:
        return _resized(decode_mask(one, frame.height, frame.width), size)
    mask = np.zeros((size[1], size[0]), dtype=np.bool_)
    x0, y0, x1, y1 = (round(side * size[0] / frame.width) for side in one.box)
    mask[max(0, y0) : max(y1, y0 + 1), max(0, x0) : max(x1, x0 + 1)] = True
    return mask


def _resized(mask: Mask, size: tuple[int, int]) -> Mask:
    grey = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BILINEAR)
    resized: Mask = np.asarray(grey) >= 128
    return resized


def _outline(pixels: npt.NDArray[np.float32], mask: Mask, colour: tuple[int, int, int]) -> None:
    """Draw the border within the mask, two pixels wide, and a dark line around it that shows on bright ground."""
    pixels[_grown(mask) & ~mask] = _HALO
    pixels[mask & _grown(_grown(~mask, edge=True), edge=True)] = colour


def _grown(mask: Mask, *, edge: bool = False) -> Mask:
    """The mask and its neighbours above, below, left and right; beyond the border ``edge`` is assumed."""
    padded = np.pad(mask, 1, constant_values=edge)
    grown: Mask = mask | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return grown


def _label(
    draw: ImageDraw.ImageDraw,
    corner: tuple[float, float],
    words: str,
    colour: str,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    size: tuple[int, int],
) -> None:
    """Write on the upper edge of a box, or within it where there is no room above."""
    left, top, right, bottom = draw.textbbox((0, 0), words, font=font)
    width, height = right - left + 4, bottom - top + 4
    x = min(max(0.0, corner[0]), max(0.0, size[0] - width))
    y = corner[1] - height if corner[1] >= height else min(max(0.0, corner[1]), max(0.0, size[1] - height))
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    draw.text((x + 2 - left, y + 2 - top), words, fill="#ffffff", font=font)


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return red, green, blue
