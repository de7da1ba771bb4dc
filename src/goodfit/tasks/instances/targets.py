"""What a frame's annotations become for training: boxes, labels and cut-out masks at the size the network sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from goodfit.data.instances.masks import decode_mask

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from goodfit.data.instances.model import Frame

SMALLEST_SIDE = 1.0
"""Pixels at the network's size; objects that become thinner teach nothing."""


@dataclass(frozen=True)
class MaskCut:
    """The part of a mask that holds its object.

    Attributes:
        top: row of the first row in the frame.
        left: column of the first column in the frame.
        pixels: (h, w) bool.
    """

    top: int
    left: int
    pixels: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FrameTarget:
    """The objects of a frame; crowds are left out, as in torchvision's and Detectron2's training.

    Attributes:
        boxes: (N, 4) float32 x0, y0, x1, y1 in pixels.
        labels: (N,) int64 from 1.
        masks: one per object, or None when masks are not asked for.
    """

    boxes: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    masks: tuple[MaskCut, ...] | None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def nbytes(self) -> int:
        """Memory that this takes, near enough."""
        masks = sum(cut.pixels.nbytes for cut in self.masks or ())
        return self.boxes.nbytes + self.labels.nbytes + masks

    def tensors(self, height: int, width: int, device: torch.device) -> dict[str, Tensor]:
        """Give what torchvision's detectors take: boxes, labels and, where there are masks, whole masks.

        Args:
            height: of the image, pixels.
            width: of the image, pixels.
            device: where the tensors are to lie.
        """
        tensors = {"boxes": torch.from_numpy(self.boxes), "labels": torch.from_numpy(self.labels)}
        if self.masks is not None:
            whole = np.zeros((len(self.masks), height, width), dtype=np.bool_)
            for mask, cut in zip(whole, self.masks, strict=True):
                h, w = cut.pixels.shape
                mask[cut.top : cut.top + h, cut.left : cut.left + w] = cut.pixels
            tensors["masks"] = torch.from_numpy(whole)
        return {name: tensor.to(device) for name, tensor in tensors.items()}


def cut_out(mask: npt.NDArray[np.bool_], top: int = 0, left: int = 0) -> MaskCut | None:
    """Cut a mask down to its object; None for an empty one.

    Args:
        mask: (h, w).
        top: row of the mask's first row in the frame.
        left: column of the mask's first column in the frame.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    y, x = int(rows[0]), int(columns[0])
    return MaskCut(top + y, left + x, np.ascontiguousarray(mask[y : rows[-1] + 1, x : columns[-1] + 1]))


def frame_target(frame: Frame, height: int, width: int, *, masks: bool) -> FrameTarget:
    """Bring a frame's annotations to the size its pixels are stored at.

    A mask is sampled at the centres of the new pixels, so that at the original size it stays as it is.

    Args:
        frame: with annotations in its original pixels.
        height: stored height, pixels.
        width: stored width, pixels.
        masks: whether masks are needed; objects without a mask are then left out.
    """
    scale = np.array([width / frame.width, height / frame.height] * 2, dtype=np.float64)
    rows = ((np.arange(height) + 0.5) * frame.height / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * frame.width / width).astype(np.intp)
    boxes, labels, cuts = [], [], []
    for instance in frame.instances:
        box = np.array(instance.box) * scale
        if instance.crowd or min(box[2:] - box[:2]) < SMALLEST_SIDE:
            continue
        if masks:
            mask = decode_mask(instance, frame.height, frame.width)
            cut = cut_out(mask if mask.shape == (height, width) else mask[rows[:, None], columns])
            if cut is None:
                continue
            cuts.append(cut)
        boxes.append(box)
        labels.append(instance.category)
    return FrameTarget(
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.array(labels, dtype=np.int64),
        tuple(cuts) if masks else None,
    )
