"""A predicted label map as input channels, one per label value (nnU-Net: MoveSegAsOneHotToDataTransform)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def append_previous(images: Tensor, labels: Tensor, values: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Move the previous stage's labels from the labels to the images.

    Args:
        images: (B, C, \\*shape) float32.
        labels: (B, 2, \\*shape) integers: the reference, then what the previous stage predicted.
        values: label values that become channels, in this order (``Labels.foreground_values``).

    Returns:
        Images (B, C + len(values), \\*shape) and labels (B, 1, \\*shape), a view.
    """
    assert labels.shape[1] == 2, f"{labels.shape[1]} label channels, expected the reference and the previous stage's"
    return torch.cat([images, _one_hot(labels[:, 1], values, images.dtype)], 1), labels[:, :1]


class WithPreviousStage(nn.Module):
    """A network of the cascade that takes the previous stage's label map as one channel, the last one.

    So a whole image with its label map needs one channel more in memory, whatever the number of classes.

    Args:
        network: takes (B, C + len(values), \\*patch).
        values: label values that become channels, in this order.
    """

    def __init__(self, network: nn.Module, values: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.values = tuple(values)

    def forward(self, tiles: Tensor) -> Tensor:
        """Give the network's output for tiles (B, C + 1, \\*patch)."""
        output: Tensor = self.network(torch.cat([tiles[:, :-1], _one_hot(tiles[:, -1], self.values, tiles.dtype)], 1))
        return output


def _one_hot(labels: Tensor, values: Sequence[int], kind: torch.dtype) -> Tensor:
    return torch.stack([labels == value for value in values], 1).to(kind)
