"""RoIAlign for CPUs: the same numbers as torchvision's operator, several times as fast.

torchvision's operator runs on one core and goes through a map channel by channel. Here a position of a map is a row of
all its channels, and a sample of a region the weighted sum of sixteen rows (two by two points, each between four
positions): what ``embedding_bag`` computes, on all cores and many channels at a time, forwards and backwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

POINTS = 2
"""Points along each side of a sample's area, torchvision's number for its detectors."""


def align_by_rows(
    levels: Sequence[Tensor], regions: Tensor, chosen: Tensor, strides: Sequence[int], side: int
) -> Tensor:
    """Cut regions out of the levels of a pyramid, as ``roi_align`` with two points a side and not aligned does.

    Args:
        levels: (B, C, H, W) float32 each.
        regions: (R, 5): image, x0, y0, x1, y1 in pixels.
        chosen: (R,) the level of each region.
        strides: pixels between positions of each level.
        side: samples along each side of the output.

    Returns:
        (R, C, side, side), channels last in memory.
    """
    channels = levels[0].shape[1]
    if not len(regions):
        return levels[0].new_zeros((0, channels, side, side))
    table = torch.cat([level.permute(0, 2, 3, 1).reshape(-1, channels) for level in levels])
    # For each region: first row of its level, height and width of the map, stride.
    starts, facts = 0, []
    for level, stride in zip(levels, strides, strict=True):
        images, _, height, width = level.shape
        facts.append((starts, height, width, stride))
        starts += images * height * width
    first, heights, widths, steps = torch.tensor(facts, device=regions.device)[chosen].T
    columns, x_weights = _between(regions[:, 1] / steps, regions[:, 3] / steps, widths, side)
    rows, y_weights = _between(regions[:, 2] / steps, regions[:, 4] / steps, heights, side)
    first = first + regions[:, 0].long() * heights * widths
    rows = first[:, None, None] + rows * widths[:, None, None]
    indices = rows[:, :, None, :, None] + columns[:, None, :, None, :]
    weights = y_weights[:, :, None, :, None] * x_weights[:, None, :, None, :]
    terms = 4 * POINTS**2
    summed = functional.embedding_bag(
        indices.reshape(-1, terms), table, per_sample_weights=weights.reshape(-1, terms).to(table.dtype), mode="sum"
    )
    return summed.reshape(len(regions), side, side, channels).permute(0, 3, 1, 2)


def _between(low: Tensor, high: Tensor, lengths: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Give the positions along one axis that each sample mixes, and their weights.

    Args:
        low: (R,) lower edge in positions.
        high: (R,) upper edge.
        lengths: (R,) positions that there are.
        side: samples.

    Returns:
        (R, side, 2 * POINTS) positions and weights; points further than one position outside weigh nothing.
    """
    share = (torch.arange(POINTS * side, dtype=low.dtype, device=low.device) + 0.5) / (POINTS * side)
    places = low[:, None] + share * (high - low).clamp(min=1)[:, None]
    lengths = lengths[:, None]
    inside = (places >= -1) & (places <= lengths)
    places = torch.minimum(places.clamp(min=0), lengths - 1)
    before = places.floor().long()
    after = torch.minimum(before + 1, lengths - 1)
    fraction = places - before
    weights = torch.stack((1 - fraction, fraction), dim=-1) * (inside / POINTS)[..., None]
    positions = torch.stack((before, after), dim=-1)
    return positions.reshape(len(low), side, -1), weights.reshape(len(low), side, -1)
