"""Normalisation layers of detectors, and frozen batch norm at no cost."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from goodfit.planning.instances.plan import NormalisationKind

BATCH_NORM_EPSILON = 1e-5
_CHANNELS_PER_GROUP = 8
_MOST_GROUPS = 32  # Wu & He 2018, "Group Normalization"


class FrozenNorm(nn.Module):
    """Batch norm with fixed statistics, scale and shift; names and values as in torchvision's FrozenBatchNorm2d.

    After ``fold_frozen_norms`` the convolution before it does the work, and this only keeps the numbers.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = BATCH_NORM_EPSILON) -> None:
        super().__init__()
        self.eps = eps
        self.folded = False
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """What each channel is multiplied by, and what is added afterwards; (C,) each."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W), or give it back where the convolution has done so."""
        if self.folded:
            return x
        scale, shift = self.scale_and_shift()
        return x * scale[:, None, None] + shift[:, None, None]


class FoldingConv2d(nn.Conv2d):
    """A convolution without bias that also does the work of the frozen norm behind it.

    The weights stay as they are and are scaled at each call, so that training moves them as if the norm stood by
    itself; scaling the few weights is cheap, scaling the feature maps is not.
    """

    def __init__(self, conv: nn.Conv2d, norm: FrozenNorm) -> None:
        assert conv.bias is None
        assert isinstance(conv.padding, tuple)
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            (conv.kernel_size[0], conv.kernel_size[1]),
            stride=(conv.stride[0], conv.stride[1]),
            padding=(conv.padding[0], conv.padding[1]),
            dilation=(conv.dilation[0], conv.dilation[1]),
            groups=conv.groups,
            bias=False,
            device="meta",
        )
        self.weight = conv.weight
        # In a tuple, so that the norm is no child of this module and its numbers keep their one name.
        self._norm = (norm,)
        norm.folded = True

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, H, W) and normalise."""
        scale, shift = self._norm[0].scale_and_shift()
        weight = self.weight * scale[:, None, None, None]
        return functional.conv2d(x, weight, shift, self.stride, self.padding, self.dilation, self.groups)


def fold_frozen_norms(network: nn.Module) -> None:
    """Let every convolution do the work of the frozen norm that is registered right after it.

    torchvision registers layers in the order in which they run, which is what this relies on. The names of weights
    and buffers stay the same.
    """
    for module in list(network.modules()):
        for (name, conv), (_, norm) in pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, FrozenNorm) and conv.bias is None:
                setattr(module, name, FoldingConv2d(conv, norm))


def group_norm(channels: int) -> nn.GroupNorm:
    """Group norm with eight channels in a group, more where that would be more than 32 groups."""
    groups = min(_MOST_GROUPS, channels // _CHANNELS_PER_GROUP)
    return nn.GroupNorm(groups if groups and channels % groups == 0 else math.gcd(channels, _MOST_GROUPS), channels)


def norm_layer(kind: NormalisationKind, eps: float = BATCH_NORM_EPSILON) -> Callable[[int], nn.Module]:
    """Give what makes a normalisation layer out of a number of channels."""
    if kind == "group":
        return group_norm
    return partial(FrozenNorm if kind == "frozen_batch" else nn.BatchNorm2d, eps=eps)
