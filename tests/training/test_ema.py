"""The running average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from goodfit.training.ema import WeightAverage, gamma_of_width


def test_gamma_is_the_papers() -> None:
    assert gamma_of_width(0.05) == pytest.approx(16.97, abs=0.01)
    assert gamma_of_width(0.10) == pytest.approx(6.94, abs=0.01)


def test_average_weighs_steps_by_a_power_of_their_number() -> None:
    network = nn.Linear(1, 1, bias=False)
    average = WeightAverage(network, 0.1)
    gamma, steps = gamma_of_width(0.1), 400
    for step in range(1, steps + 1):
        network.weight.data.fill_(step)
        average.update(network, step)
    expected = sum(s * s**gamma for s in range(1, steps + 1)) / sum(s**gamma for s in range(1, steps + 1))
    assert average.weights["weight"].item() == pytest.approx(expected, rel=2e-3)


def test_the_first_update_forgets_the_initial_weights() -> None:
    network = nn.Linear(2, 2)
    average = WeightAverage(network, 0.05)
    network.weight.data.fill_(3.0)
    average.update(network, 1)
    assert torch.equal(average.weights["weight"], network.weight)


def test_width_zero_follows_the_weights() -> None:
    network = nn.Linear(2, 2)
    average = WeightAverage(network, 0)
    for step in range(1, 4):
        network.weight.data.fill_(float(step))
        average.update(network, step)
    assert torch.equal(average.weights["weight"], torch.full((2, 2), 3.0))


def test_the_networks_own_weights_come_back_bit_for_bit_even_after_an_error() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    average = WeightAverage(network, 0.05)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    average.weights["0.weight"].fill_(7.0)

    def fail_inside() -> None:
        with average.in_place_of(network):
            assert torch.equal(network[0].weight, torch.full((3, 3), 7.0))
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail_inside()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
