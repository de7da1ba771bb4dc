"""From the mask head's small masks to run-length codes of the size of the image, without painting the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import numpy as np
from faster_coco_eval import mask as coco_mask

from goodfit.tasks.instances.detection import Rle

if TYPE_CHECKING:
    import numpy.typing as npt

    PastedCut = tuple[npt.NDArray[np.bool_], int, int]

THRESHOLD = 0.5
"""Probability from which a pixel belongs to the instance."""


def paste(probabilities: npt.NDArray[np.float32], box: npt.NDArray[np.float32], height: int, width: int) -> PastedCut:
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
    # Column by column, with nothing above and below, so that every run ends in the column where it begins.
    framed = np.zeros((cut.shape[1], cut.shape[0] + 2), dtype=np.bool_)
    framed[:, 1:-1] = cut.T
    pixels = framed.ravel()
    columns, rows = np.divmod(np.flatnonzero(pixels[1:] != pixels[:-1]), framed.shape[1])
    bounds = (columns + left) * height + rows + top
    counts = np.diff(np.concatenate([[0], bounds, [height * width]]))
    # A run down to the lower edge and one from the upper edge of the next column are one run.
    touching = np.flatnonzero(counts[1:-1] == 0) + 1
    if len(touching):
        bounds = np.delete(bounds, np.concatenate([touching - 1, touching]))
        counts = np.diff(np.concatenate([[0], bounds, [height * width]]))
    runs = counts.tolist()
    if runs[-1] == 0:
        runs.pop()  # as COCO's own encoder has it: no run after the last pixel
    code = coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    text = code["counts"]
    return {"size": [height, width], "counts": text.decode("ascii") if isinstance(text, bytes) else text}


class PastedMasks(Sequence[Rle]):
    """The masks of an image's detections, each brought to the image's pixels when it is first asked for.

    Args:
        probabilities: (N, S, S) of the boxes.
        boxes: (N, 4) in pixels of the image.
        height: of the image.
        width: of the image.
    """

    def __init__(
        self, probabilities: npt.NDArray[np.float32], boxes: npt.NDArray[np.float32], height: int, width: int
    ) -> None:
        self._probabilities = probabilities
        self._boxes = boxes
        self._size = (height, width)
        self._cuts: dict[int, PastedCut] = {}

    def __len__(self) -> int:
        return len(self._boxes)

    @overload
    def __getitem__(self, place: int) -> Rle: ...

    @overload
    def __getitem__(self, place: slice) -> list[Rle]: ...

    def __getitem__(self, place: int | slice) -> Rle | list[Rle]:
        """Give the run-length code of one mask, or of several."""
        if isinstance(place, slice):
            return [self[at] for at in range(*place.indices(len(self)))]
        return encode_cut(*self.cut(place), *self._size)

    def cut(self, place: int) -> PastedCut:
        """Give a mask where it is and nowhere else: (h, w), its first row and its first column in the image."""
        at = range(len(self))[place]
        if at not in self._cuts:
            self._cuts[at] = paste(self._probabilities[at], self._boxes[at], *self._size)
        return self._cuts[at]

    def chosen(self, places: npt.NDArray[np.int64]) -> PastedMasks:
        """Keep some of the masks."""
        return PastedMasks(self._probabilities[places], self._boxes[places], *self._size)
