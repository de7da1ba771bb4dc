"""What the first stage has predicted, on the grid of the second."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from goodfit.preprocessing.resample import separate_axis
from goodfit.tasks.segmentation.restore import labels_of, resample_slabs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from goodfit.data.labels import Labels
    from goodfit.preprocessing.properties import CaseProperties, Shape


def next_stage_labels(
    slabs: Iterable[tuple[int, Tensor]], properties: CaseProperties, shape: Shape, labels: Labels
) -> Tensor:
    """Make the label map that the next stage sees, from logits of this one.

    nnU-Net resamples the logits straight from one preprocessed grid to the other (both cover the same crop) and then
    decides; whether an axis is resampled by itself depends on the spacing of this stage alone.

    Args:
        slabs: logits in order (``inference.SlidingWindow.slabs``).
        properties: of the case in this stage.
        shape: of the preprocessed image in the next stage.
        labels: the classes.

    Returns:
        (*shape) label values in host memory, uint8 where they fit and int32 otherwise.
    """
    separate = separate_axis(properties.spacing, properties.spacing)
    parts = [labels_of(logits, labels).cpu() for _, logits in resample_slabs(slabs, properties.shape, shape, separate)]
    return torch.cat(parts)
