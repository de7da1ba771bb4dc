"""A picture onto which shapes are painted one over the other, and what is left to see of each instance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[np.float32]
    Point = tuple[float, float]
    Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Paint:
    """How a surface looks: a colour, a second one in stripes or checks, and how much its rim is darker.

    Attributes:
        colour: red, green, blue in 0..255.
        second: the other colour of the pattern.
        stripes: number of stripes along the shape; 0 for none.
        across: number of stripes the other way, which makes checks.
        rim: share of brightness lost at the edge of a round shape.
    """

    colour: Colour
    second: Colour | None = None
    stripes: float = 0.0
    across: float = 0.0
    rim: float = 0.3

    def at(self, along: Array, across: Array) -> Array:
        """Give the colours (H, W, 3) at the pattern's coordinates (0..1 over the shape), each (H, W)."""
        flat = np.asarray(self.colour, np.float32)
        if self.second is None:
            return np.broadcast_to(flat, (*along.shape, 3)).copy()
        wave = np.sin(2 * np.pi * self.stripes * along)
        if self.across:
            wave = wave * np.sin(2 * np.pi * self.across * across)
        share = np.clip(0.5 + 3 * wave, 0, 1)[..., None]
        return np.asarray(flat + share * (np.asarray(self.second, np.float32) - flat), dtype=np.float32)


class Canvas:
    """A picture under construction.

    Attributes:
        image: (H, W, 3) float32, 0..255.
        shares: (instances, H, W) float32, how much of each pixel shows each instance (0..1).
    """

    def __init__(self, image: Array, instances: int) -> None:
        """Start from a copy of ``image`` (H, W, 3)."""
        self.image = image.copy()
        self.shares: Array = np.zeros((instances, *image.shape[:2]), np.float32)

    def capsule(
        self, start: Point, end: Point, radius: tuple[float, float], paint: Paint, instance: int | None = None
    ) -> None:
        """Paint a round-ended bar from ``start`` to ``end`` (x, y in pixels) whose radius may change along it."""
        (ax, ay), (bx, by) = start, end
        wide = max(radius) + 1
        window = self._window(min(ax, bx) - wide, min(ay, by) - wide, max(ax, bx) + wide, max(ay, by) + wide)
        if window is None:
            return
        x, y = _grid(window)
        length = max((bx - ax) ** 2 + (by - ay) ** 2, 1e-6)
        along = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length, 0, 1).astype(np.float32)
        reach = np.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay))
        thick = radius[0] + along * (radius[1] - radius[0])
        side = ((x - ax) * (by - ay) - (y - ay) * (bx - ax)) / (length**0.5 * 2 * max(radius)) + 0.5
        shade = 1 - paint.rim * np.square(np.clip(reach / np.maximum(thick, 1e-3), 0, 1))
        colours = paint.at(along, side.astype(np.float32)) * shade[..., None]
        self._lay(window, np.clip(thick - reach + 0.5, 0, 1), colours, instance)

    def ellipse(self, centre: Point, radii: Point, paint: Paint, instance: int | None = None) -> None:
        """Paint an upright ellipse."""
        (cx, cy), (rx, ry) = centre, radii
        window = self._window(cx - rx - 1, cy - ry - 1, cx + rx + 1, cy + ry + 1)
        if window is None:
            return
        x, y = _grid(window)
        distance = np.hypot((x - cx) / rx, (y - cy) / ry)
        colours = paint.at(
            np.float32(0.5) + (y - cy) / np.float32(2 * ry), np.float32(0.5) + (x - cx) / np.float32(2 * rx)
        )
        shade = 1 - paint.rim * np.square(np.clip(distance, 0, 1))
        self._lay(window, np.clip((1 - distance) * min(rx, ry) + 0.5, 0, 1), colours * shade[..., None], instance)

    def box(self, corner: Point, opposite: Point, paint: Paint, instance: int | None = None) -> None:
        """Paint an upright rectangle, darker towards its foot."""
        (x0, y0), (x1, y1) = corner, opposite
        window = self._window(x0 - 1, y0 - 1, x1 + 1, y1 + 1)
        if window is None or x1 <= x0 or y1 <= y0:
            return
        x, y = _grid(window)
        inside = np.clip(np.minimum(x - x0, x1 - x) + 0.5, 0, 1) * np.clip(np.minimum(y - y0, y1 - y) + 0.5, 0, 1)
        down, right = np.clip((y - y0) / (y1 - y0), 0, 1), np.clip((x - x0) / (x1 - x0), 0, 1)
        colours = paint.at(down + 0 * right, right + 0 * down)
        shade = 1 - paint.rim * np.square(down)
        self._lay(window, inside, colours * (shade + 0 * right)[..., None], instance)

    def _window(self, x0: float, y0: float, x1: float, y1: float) -> tuple[slice, slice] | None:
        height, width = self.image.shape[:2]
        left, top = max(0, int(np.floor(x0))), max(0, int(np.floor(y0)))
        right, bottom = min(width, int(np.ceil(x1)) + 1), min(height, int(np.ceil(y1)) + 1)
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None

    def _lay(self, window: tuple[slice, slice], cover: Array, colours: Array, instance: int | None) -> None:
        part = self.image[window]
        part += cover[..., None] * (colours - part)
        if len(self.shares):
            self.shares[(slice(None), *window)] *= 1 - cover
            if instance is not None:
                self.shares[(instance, *window)] += cover


def _grid(window: tuple[slice, slice]) -> tuple[Array, Array]:
    """Pixel centres of a window: x as a row, y as a column."""
    rows, columns = window
    x = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] + np.float32(0.5)
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(0.5)
    return x, y
