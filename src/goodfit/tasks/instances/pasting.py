"""From the mask head's small masks to run-length codes of the size of the image, without painting the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from faster_coco_eval import mask as coco_mask

if TYPE_CHECKING:
    import numpy.typing as npt

    from goodfit.tasks.instances.detection import Rle

THRESHOLD = 0.5
"""Probability from which a pixel belongs to the instance."""


def paste(
    probabilities: npt.NDArray[np.float32], box: npt.NDArray[np.float32], height: int, width: int
) -> tuple[npt.NDArray[np.bool_], int, int]:
    """Bring a small mask to the pixels of its box.

    Pixels are looked up at their centres, bilinearly, with zero around the small mask, as Detectron2 does it;
    torchvision rounds the box to whole pixels first.

    Args:
        probabilities: (S, S) of the box.
        box: x0, y0, x1, y1 in pixels of the image.
        height: of the image.
        width: of the image.

    Returns:
        The mask's cut (h, w), its first row and its first column in the image; (0, 0) for a box outside of it.
    """
    top, rows = _weights(float(box[1]), float(box[3]), probabilities.shape[0], height)
    left, columns = _weights(float(box[0]), float(box[2]), probabilities.shape[1], width)
    return rows @ probabilities @ columns.T >= THRESHOLD, top, left


def _weights(low: float, high: float, cells: int, limit: int) -> tuple[int, npt.NDArray[np.float32]]:
    """Give the first pixel of a side and the weights (pixels, cells) with which each pixel mixes the cells."""
    # Half a cell beyond the box the interpolation with the zeros around still counts.
    reach = (high - low) / cells / 2
    first = max(0, int(np.ceil(low - reach - 0.5)))
    last = min(limit, int(np.floor(high + reach - 0.5)) + 1)
    centres = np.arange(first, max(first, last)) + 0.5
    places = (centres - low) / max(high - low, 1e-6) * cells - 0.5
    return first, np.maximum(0, 1 - np.abs(places[:, None] - np.arange(cells))).astype(np.float32)


def encode_cut(cut: npt.NDArray[np.bool_], top: int, left: int, height: int, width: int) -> Rle:
    """Write the run-length code of an image (height, width) that shows nothing but the cut at (top, left).

    The runs come from the cut alone, so that the cost does not grow with the image.
    """
    framed = np.zeros((cut.shape[1], cut.shape[0] + 2), dtype=np.int8)
    framed[:, 1:-1] = cut.T
    steps = np.diff(framed, axis=1)
    columns, rows = np.nonzero(steps > 0)
    starts = (columns + left) * height + rows + top
    columns, rows = np.nonzero(steps < 0)
    ends = (columns + left) * height + rows + top
    # A run down to the lower edge and one from the upper edge of the next column are one run.
    apart = starts[1:] != ends[:-1]
    starts = starts[np.concatenate([[True], apart])] if len(starts) else starts
    ends = ends[np.concatenate([apart, [True]])] if len(ends) else ends
    bounds = np.stack([starts, ends], axis=1).ravel()
    counts = np.diff(np.concatenate([[0], bounds, [height * width]])).tolist()
    if counts[-1] == 0:
        counts.pop()  # as COCO's own encoder has it: no run after the last pixel
    code = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    text = code["counts"]
    return {"size": [height, width], "counts": text.decode("ascii") if isinstance(text, bytes) else text}
