"""The picture's size, and where the floor is in it: things further away stand higher up and are smaller."""

from __future__ import annotations

WIDTH, HEIGHT = 256, 192
"""Pixels of a frame."""


def floor_at(depth: float) -> float:
    """Row of the floor at a depth: 0 at the back wall, 1 close to the camera."""
    return 128 + 58 * depth


def size_at(depth: float) -> float:
    """Height in pixels of a body of height 1 at a depth."""
    return 84 + 32 * depth
