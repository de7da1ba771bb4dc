"""The U-Nets of a plan, built from dynamic-network-architectures so that nnU-Net can load our weights and we its."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from dynamic_network_architectures.building_blocks.unet_decoder import UNetDecoder
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goodfit.planning.plan import NetworkPlan

_CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
_NORM = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


def build_network(plan: NetworkPlan, channels: int, outputs: int, dims: int) -> nn.Module:
    """Build the network of a plan with freshly drawn weights (torch's global random state).

    nnU-Net: instance normalisation (eps 1e-5, affine), LeakyReLU 0.01, convolutions with bias, He initialisation
    for that slope; in residual networks the last normalisation of each block starts at zero.

    Args:
        plan: architecture, features, kernels, strides and blocks.
        channels: input channels.
        outputs: output channels (``Labels.outputs``).
        dims: spatial dimensions, 2 or 3.

    Returns:
        A network that maps (B, channels, \\*shape), each axis divisible by the product of its strides, to logits
        (B, outputs, \\*shape); with deep supervision on (as built, where ``plan.deep_supervision``) to a list of
        them, one per decoder stage, finest first.
    """
    shared = {
        "input_channels": channels,
        "num_classes": outputs,
        "n_stages": len(plan.features),
        "features_per_stage": list(plan.features),
        "conv_op": _CONVOLUTION[dims],
        "kernel_sizes": [list(kernel) for kernel in plan.kernel_sizes],
        "strides": [list(stride) for stride in plan.strides],
        "n_conv_per_stage_decoder": list(plan.decoder_blocks),
        "conv_bias": True,
        "norm_op": _NORM[dims],
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"inplace": True},
        "deep_supervision": plan.deep_supervision,
    }
    network: nn.Module
    if plan.architecture == "plain_unet":
        network = PlainConvUNet(n_conv_per_stage=list(plan.encoder_blocks), **shared)
        return network.apply(PlainConvUNet.initialize)
    network = ResidualEncoderUNet(n_blocks_per_stage=list(plan.encoder_blocks), **shared)
    return network.apply(ResidualEncoderUNet.initialize)


def _decoders(network: nn.Module) -> list[UNetDecoder]:
    """Find the decoder, also inside a compiled or distributed wrapper; none in a network of another kind."""
    return [module for module in network.modules() if isinstance(module, UNetDecoder)]


def deep_supervision_enabled(network: nn.Module) -> bool:
    """Whether the network returns a list of outputs."""
    return any(decoder.deep_supervision for decoder in _decoders(network))


def set_deep_supervision(network: nn.Module, enabled: bool) -> None:
    """Choose between a list of outputs, finest first, and the finest alone."""
    for decoder in _decoders(network):
        decoder.deep_supervision = enabled


def deep_supervision_strides(plan: NetworkPlan) -> list[tuple[int, ...]]:
    """Give, for each output with deep supervision, how many voxels of the patch one of its voxels spans, per axis.

    One entry per decoder stage, finest first; a single entry of ones where the plan has no deep supervision.
    """
    factors = [tuple(plan.strides[0])]
    for stride in plan.strides[1:-1]:
        factors.append(tuple(factor * step for factor, step in zip(factors[-1], stride, strict=True)))
    return factors if plan.deep_supervision else factors[:1]


@contextmanager
def inferring(network: nn.Module) -> Iterator[nn.Module]:
    """Put the network into evaluation mode with one output, and back to what it was afterwards."""
    training, supervised = network.training, deep_supervision_enabled(network)
    if not supervised and not any(module.training for module in network.modules()):
        # Setting the mode of every module costs a millisecond per hundred of them, for each case of a folder.
        yield network
        return
    network.eval()
    set_deep_supervision(network, False)
    try:
        yield network
    finally:
        network.train(training)
        set_deep_supervision(network, supervised)
