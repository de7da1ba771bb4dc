from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision.models import mobilenet_v2, mobilenet_v3_large, resnet50

from goodfit.tasks.instances.norms import FoldingConv2d, FrozenNorm, fold_frozen_norms, group_norm, norm_layer


def _scramble(network: nn.Module) -> None:
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, FrozenNorm):
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_()
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)


@pytest.mark.parametrize("make", [mobilenet_v2, mobilenet_v3_large, resnet50])
def test_folding_changes_no_number_and_no_name(make) -> None:
    torch.manual_seed(0)
    network = make(norm_layer=FrozenNorm).double().eval()
    _scramble(network)
    folded = copy.deepcopy(network)
    fold_frozen_norms(folded)
    assert all(module.folded for module in folded.modules() if isinstance(module, FrozenNorm))
    assert folded.state_dict().keys() == network.state_dict().keys()
    x = torch.randn(1, 3, 64, 48, dtype=torch.float64)
    torch.testing.assert_close(folded(x), network(x), rtol=1e-9, atol=1e-9)


def test_folded_gradients_are_those_of_the_two_layers() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1, groups=3, bias=False), FrozenNorm(6)).double()
    _scramble(plain)
    folded = copy.deepcopy(plain)
    fold_frozen_norms(folded)
    x = torch.randn(2, 3, 9, 7, dtype=torch.float64)
    for network in (plain, folded):
        network(x).square().sum().backward()
    torch.testing.assert_close(folded[0].weight.grad, plain[0].weight.grad)


def test_a_copy_of_a_folded_network_reads_its_own_norm() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), FrozenNorm(1))
    fold_frozen_norms(network)
    twin = copy.deepcopy(network)
    twin[1].bias.fill_(5)
    x = torch.zeros(1, 1, 2, 2)
    assert network(x).detach().abs().sum() == 0
    assert twin(x).detach().mean() == 5


def test_a_norm_without_its_convolution_works_by_itself() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=True), FrozenNorm(2))
    fold_frozen_norms(network)
    assert not isinstance(network[0], FoldingConv2d)
    network[1].running_mean.fill_(1)
    x = torch.ones(1, 1, 1, 1)
    expected = (network[0](x) - 1) / (1 + network[1].eps) ** 0.5
    torch.testing.assert_close(network(x), expected)


@given(st.integers(1, 2048))
def test_group_norm_divides_any_number_of_channels(channels: int) -> None:
    layer = group_norm(channels)
    assert channels % layer.num_groups == 0
    assert layer.num_groups <= 32
    if channels % 8 == 0 and channels <= 256:
        assert channels // layer.num_groups == 8


def test_norm_layer_is_what_the_plan_says() -> None:
    assert isinstance(norm_layer("frozen_batch")(8), FrozenNorm)
    assert isinstance(norm_layer("group")(8), nn.GroupNorm)
    layer = norm_layer("batch", 0.5)(8)
    assert isinstance(layer, nn.BatchNorm2d)
    assert layer.eps == 0.5
