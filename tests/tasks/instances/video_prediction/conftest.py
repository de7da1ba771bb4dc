"""A made-up detector: it finds bright squares, so that what it gives is known for any video."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from goodfit.data.instances.masks import encode_mask
from goodfit.data.video.write import VideoWriter
from goodfit.tasks.instances.detection import Detection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

Image = np.ndarray
HEIGHT, WIDTH, SIDE = 64, 96, 20


def _square_at(x: int, y: int, height: int = HEIGHT, width: int = WIDTH) -> Image:
    image = np.full((height, width, 3), 20, np.uint8)
    image[y : y + SIDE, max(0, x) : x + SIDE] = 230
    return image


def _find(images: list[Image]) -> list[Detection]:
    found = []
    for image in images:
        mask = image.mean(2) > 128
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            found.append(Detection(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), []))
            continue
        box = np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], np.float32)
        found.append(Detection(box, np.full(1, 0.9, np.float32), np.ones(1, np.int64), [encode_mask(mask)]))
    return found


@pytest.fixture
def write_video() -> Callable[..., Path]:
    """Write a video of a square that walks to the right; times in seconds, one for each frame."""

    def write(path: Path, times: Sequence[float], step: int = 1, y: int = 22) -> Path:
        with VideoWriter(path, WIDTH, HEIGHT, fps=25) as writer:
            for number, time in enumerate(times):
                writer.add(_square_at(4 + step * number, y), time)
        return path

    return write


@pytest.fixture
def find_squares() -> Callable[[list[Image]], list[Detection]]:
    """Detector that gives the bright part of each image as a person."""
    return _find
