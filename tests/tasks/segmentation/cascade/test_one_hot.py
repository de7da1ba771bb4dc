"""Tests of a label map as input channels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from goodfit.tasks.segmentation.cascade.one_hot import WithPreviousStage, append_previous
from goodfit.tasks.segmentation.inference import SlidingWindow

VALUES = (1, 4)


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5)])
def test_each_label_value_becomes_a_channel(shape: tuple[int, ...]) -> None:
    images = torch.randn(2, 3, *shape)
    labels = torch.tensor([-1, 0, 1, 4])[torch.randint(4, (2, 2, *shape))].to(torch.int16)
    new_images, new_labels = append_previous(images, labels, VALUES)
    assert new_images.shape == (2, 5, *shape)
    assert new_images.dtype == torch.float32
    assert torch.equal(new_images[:, :3], images)
    for channel, value in enumerate(VALUES, start=3):
        assert torch.equal(new_images[:, channel] == 1, labels[:, 1] == value)
    assert torch.equal(new_labels, labels[:, :1])


def test_labels_without_a_previous_stage_are_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="1 label channels"):
        append_previous(torch.zeros(1, 1, 2, 2, 2), torch.zeros(1, 1, 2, 2, 2), VALUES)


class Recorder(nn.Module):
    """Remembers what it was shown and gives the sum over channels, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[torch.Tensor] = []

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        self.shown.append(tiles)
        return torch.cat([tiles.sum(1, keepdim=True)] * 2, 1)


def test_the_network_sees_the_channels_of_the_training() -> None:
    network = Recorder()
    images = torch.randn(1, 2, 3, 4, 5)
    labels = torch.tensor([0, 1, 4])[torch.randint(3, (1, 1, 3, 4, 5))]
    output = WithPreviousStage(network, VALUES)(torch.cat([images, labels.float()], 1))
    wanted, _ = append_previous(images, torch.cat([labels, labels], 1), VALUES)
    assert torch.equal(network.shown[0], wanted)
    assert output.shape == (1, 2, 3, 4, 5)


def test_a_sliding_window_carries_the_label_map_along() -> None:
    image = torch.randn(1, 7, 9, 8)
    labels = torch.tensor([0, 1, 4])[torch.randint(3, (1, 7, 9, 8))]
    window = SlidingWindow((4, 4, 4), mirror_axes=(0, 2))
    # A network of one voxel: each result depends on nothing but the channels there.
    logits = window.logits(WithPreviousStage(Recorder(), VALUES), torch.cat([image, labels.float()]))
    expected = image[0] + ((labels[0] == 1) | (labels[0] == 4))
    torch.testing.assert_close(logits[0], expected.float(), atol=1e-5, rtol=1e-5)
