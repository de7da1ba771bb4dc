"""Carrying out what was drawn, on a frame's pixels, boxes and masks alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torchvision.transforms.v2 import functional as vision

from goodfit.tasks.instances.targets import SMALLEST_SIDE, FrameTarget, MaskCut, cut_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from torch import Tensor

    from goodfit.tasks.instances.augmentation.draw import Colour, FrameChange, Placement

SMALLEST_SHARE = 0.1
"""An object of which less than this is left in the frame is no longer one to find."""
_SIGMAS = 2  # half the width of the blur's window


def apply(image: Tensor, target: FrameTarget, change: FrameChange, fill: Sequence[int]) -> tuple[Tensor, FrameTarget]:
    """Change one frame.

    Height and width stay, or change places after a turn by 90 degrees: a frame that is made larger loses its margin,
    one that is made smaller gets one. Masks are sampled at the centres of pixels, boxes moved exactly; an object that
    is cut gets the box of what is left of its mask or, without masks, of its box.

    Args:
        image: (3, H, W) uint8.
        target: its objects.
        change: what to do.
        fill: red, green and blue of a margin, 0..255.

    Returns:
        New image (3, H, W) uint8 and objects; the arguments stay as they are.
    """
    if change.flip_horizontal:
        image, target = vision.horizontal_flip(image), _flip(target, image.shape[-1], 1)
    if change.flip_vertical:
        image, target = vision.vertical_flip(image), _flip(target, image.shape[-2], 0)
    for _ in range(change.quarter_turns):
        # A quarter turn against the clock: columns become rows, the last first.
        image, target = image.transpose(-2, -1).flip(-2), _flip(_transpose(target), image.shape[-1], 0)
    if change.placement is not None:
        image, target = _place(image, target, change.placement, fill)
    if change.colour is not None:
        image = _recolour(image, change.colour)
    if change.grey:
        image = vision.rgb_to_grayscale(image, num_output_channels=3)
    if change.blur is not None:
        side = 2 * math.ceil(_SIGMAS * change.blur) + 1
        image = vision.gaussian_blur(image, [side, side], [change.blur, change.blur])
    return image.contiguous(), target


def _recolour(image: Tensor, colour: Colour) -> Tensor:
    image = vision.adjust_brightness(image, colour.brightness)
    image = vision.adjust_contrast(image, colour.contrast)
    image = vision.adjust_saturation(image, colour.saturation)
    # The turn of the hue needs a way through another colour space, which takes longer than all else.
    changed: Tensor = vision.adjust_hue(image, colour.hue) if colour.hue else image
    return changed


def _flip(target: FrameTarget, length: int, axis: int) -> FrameTarget:
    """Flip rows (axis 0) or columns (axis 1) of a frame of that length along the axis."""
    low, high = 1 - axis, 3 - axis  # y0, y1 or x0, x1
    boxes = target.boxes.copy()
    boxes[:, low], boxes[:, high] = length - target.boxes[:, high], length - target.boxes[:, low]
    if target.masks is None:
        return FrameTarget(boxes, target.labels, None)
    masks = []
    for cut in target.masks:
        pixels = np.ascontiguousarray(np.flip(cut.pixels, axis))
        top = length - cut.top - pixels.shape[0] if axis == 0 else cut.top
        left = length - cut.left - pixels.shape[1] if axis == 1 else cut.left
        masks.append(MaskCut(top, left, pixels))
    return FrameTarget(boxes, target.labels, tuple(masks))


def _transpose(target: FrameTarget) -> FrameTarget:
    masks = target.masks
    if masks is not None:
        masks = tuple(MaskCut(cut.left, cut.top, np.ascontiguousarray(cut.pixels.T)) for cut in masks)
    return FrameTarget(target.boxes[:, [1, 0, 3, 2]], target.labels, masks)


def _place(image: Tensor, target: FrameTarget, placement: Placement, fill: Sequence[int]) -> tuple[Tensor, FrameTarget]:
    height, width = image.shape[-2:]
    new_height, new_width = (max(1, round(side * placement.factor)) for side in (height, width))
    if (new_height, new_width) == (height, width):
        return image, target
    resized = vision.resize(image, [new_height, new_width], antialias=True)
    top, left = round(placement.down * (height - new_height)), round(placement.right * (width - new_width))
    canvas = torch.tensor(fill, dtype=image.dtype)[:, None, None].expand(3, height, width).clone()
    rows, columns = _overlap(top, new_height, height), _overlap(left, new_width, width)
    canvas[:, slice(*rows), slice(*columns)] = resized[
        :, rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left
    ]
    scale = (new_height / height, new_width / width)
    return canvas, _place_target(target, scale, (top, left), (height, width))


def _overlap(start: int, length: int, canvas: int) -> tuple[int, int]:
    """Part of a canvas that something of this length, laid at ``start``, covers."""
    return max(0, start), min(canvas, start + length)


def _place_target(
    target: FrameTarget, scale: tuple[float, float], offset: tuple[int, int], shape: tuple[int, int]
) -> FrameTarget:
    factors, shift = np.array(scale[::-1] * 2), np.array(offset[::-1] * 2)
    limits = np.array(shape[::-1] * 2)
    moved = target.boxes * factors + shift
    boxes = moved.clip(0, limits)
    kept, masks = [], []
    for number, (before, box) in enumerate(zip(moved, boxes, strict=True)):
        whole = bool((before == box).all())
        left = box[2:] - box[:2]
        if min(left) < SMALLEST_SIDE or left.prod() < SMALLEST_SHARE * (before[2:] - before[:2]).prod():
            continue
        if target.masks is not None:
            source = target.masks[number]
            cut = _place_mask(source, scale, offset, shape)
            expected = source.pixels.sum() * scale[0] * scale[1]
            if cut is None or (not whole and cut.pixels.sum() < SMALLEST_SHARE * expected):
                continue
            if not whole:
                h, w = cut.pixels.shape
                box[:] = cut.left, cut.top, cut.left + w, cut.top + h
            masks.append(cut)
        kept.append(number)
    return FrameTarget(
        boxes[kept].astype(np.float32).reshape(-1, 4),
        target.labels[kept],
        None if target.masks is None else tuple(masks),
    )


def _place_mask(
    cut: MaskCut, scale: tuple[float, float], offset: tuple[int, int], shape: tuple[int, int]
) -> MaskCut | None:
    rows, top = _sources(cut.top, cut.pixels.shape[0], scale[0], offset[0], shape[0])
    columns, left = _sources(cut.left, cut.pixels.shape[1], scale[1], offset[1], shape[1])
    if not (len(rows) and len(columns)):
        return None
    return cut_out(cut.pixels[rows[:, None], columns], top, left)


def _sources(start: int, length: int, scale: float, offset: int, limit: int) -> tuple[npt.NDArray[np.intp], int]:
    """Find the places in a cut that new pixels show, and the first of these pixels.

    The centre of new pixel ``p`` lies at ``(p + 0.5 - offset) / scale`` of the old frame.
    """
    first = max(0, math.ceil(start * scale + offset - 0.5))
    last = min(limit, math.ceil((start + length) * scale + offset - 0.5))
    places = ((np.arange(first, last) + 0.5 - offset) / scale).astype(np.intp) - start
    return places.clip(0, length - 1), first
