"""What a detector finds in one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

Rle = dict[str, Any]
"""COCO's run-length code of a mask: ``size`` [height, width], ``counts`` as text."""


@dataclass(frozen=True)
class Detection:
    """The instances found in one image, the surest first.

    Attributes:
        boxes: (N, 4) x0, y0, x1, y1 in pixels of the original image; x1 and y1 are exclusive edges.
        scores: (N,) in 0..1.
        categories: (N,) numbers from 1.
        masks: one run-length code of the size of the original image per instance; None without a mask head.
        distance: of the image from the training frames (``novelty``); None where it was not measured.
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    categories: npt.NDArray[np.int64]
    masks: Sequence[Rle] | None
    distance: float | None = None

    def __len__(self) -> int:
        return len(self.scores)
