"""Turning frames upright: phones store them as the sensor sees them, with a matrix that tells how to show them.

Frames are given as players (and OpenCV and FFmpeg, and so the annotation tools) show them, since that is what was
annotated. Rotations by quarter turns and mirrorings are followed; any other angle is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.errors import VideoError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt
    from av.video.frame import VideoFrame

_ONE = 1 << 16
"""1.0 in the matrix, whose numbers have 16 bits behind the point."""


@dataclass(frozen=True)
class Orientation:
    """What is done to a stored frame before it is shown: swapped axes first, then mirrored.

    Attributes:
        swapped: rows become columns.
        mirrored_x: left and right change places.
        mirrored_y: top and bottom change places.
    """

    swapped: bool = False
    mirrored_x: bool = False
    mirrored_y: bool = False

    def upright(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Turn an image (H, W, 3); the result is contiguous."""
        if self.swapped:
            image = image.transpose(1, 0, 2)
        if self.mirrored_x:
            image = image[:, ::-1]
        if self.mirrored_y:
            image = image[::-1]
        return np.ascontiguousarray(image)


def orientation_of(frame: VideoFrame, path: Path) -> Orientation:
    """Read the display matrix of a decoded frame.

    Raises:
        VideoError: it is no quarter turn and no mirroring.
    """
    found: list[Any] = [item for item in frame.side_data if getattr(item, "type", None) is not None]
    matrix = next((bytes(item) for item in found if item.type.name == "DISPLAYMATRIX"), None)
    if matrix is None:
        return Orientation()
    # ISO 14496-12: x' = a x + c y, y' = b x + d y, stored as a b u c d v x y w.
    a, b, _, c, d = (int(value) for value in np.frombuffer(matrix, np.int32)[:5])
    straight, swapped = ((a, d), (b, c)) if a or d else ((c, b), (a, d))
    if any(abs(value) != _ONE for value in straight) or any(swapped):
        raise VideoError(
            f"{path}: the video is to be shown turned by {frame.rotation} degrees; only quarter turns are followed. "
            "Write it upright: ffmpeg -i IN OUT.mp4"
        )
    return Orientation(swapped=not (a or d), mirrored_x=straight[0] < 0, mirrored_y=straight[1] < 0)
