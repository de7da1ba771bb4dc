from __future__ import annotations

import pytest
import torch
from torchvision.ops import roi_align

from goodfit.tasks.instances.align import align_by_rows

STRIDES = (4, 8, 16, 32)


def _reference(levels, regions, chosen, side):
    cut = [
        roi_align(levels[level], region[None], (side, side), 1 / STRIDES[level], 2, False)
        for region, level in zip(regions, chosen.tolist(), strict=True)
    ]
    return torch.cat(cut)


def _levels(height: int, width: int, channels_last: bool) -> list[torch.Tensor]:
    levels = [torch.randn(2, 8, -(-height // s), -(-width // s), dtype=torch.float64) for s in STRIDES]
    if channels_last:
        levels = [level.contiguous(memory_format=torch.channels_last) for level in levels]
    return [level.requires_grad_() for level in levels]


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("side", [7, 14])
@pytest.mark.parametrize(("height", "width"), [(128, 160), (32, 96), (20, 28)])
def test_values_and_gradients_are_roi_aligns(height, width, side, channels_last) -> None:
    torch.manual_seed(side)
    levels = _levels(height, width, channels_last)
    corner = torch.rand(30, 2, dtype=torch.float64) * torch.tensor([width, height])
    far = torch.minimum(corner + torch.rand(30, 2) * 90, torch.tensor([width, height]))
    regions = torch.cat((torch.randint(0, 2, (30, 1)).double(), corner, far), 1)
    # The whole image, one without any extent, and ones in each corner.
    extra = torch.tensor(
        [[0, 0, 0, width, height], [1, 5, 5, 5, 5], [0, width, height, width, height], [1, 0, 0, 0.1, 0.1]]
    )
    regions = torch.cat((regions, extra.double()))
    chosen = torch.randint(0, 4, (len(regions),))
    own = align_by_rows(levels, regions, chosen, STRIDES, side)
    expected = _reference(levels, regions, chosen, side)
    torch.testing.assert_close(own, expected)
    weight = torch.randn_like(expected)
    gradients = torch.autograd.grad((own * weight).sum(), levels)
    for gradient, other in zip(gradients, torch.autograd.grad((expected * weight).sum(), levels), strict=True):
        torch.testing.assert_close(gradient, other)


def test_no_regions() -> None:
    levels = _levels(32, 32, channels_last=False)
    empty = align_by_rows(levels, torch.zeros(0, 5).double(), torch.zeros(0, dtype=torch.long), STRIDES, 7)
    assert empty.shape == (0, 8, 7, 7)
