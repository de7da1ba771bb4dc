"""Weights that fit are taken, the others stay, and the table says why."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from goodfit.training.transfer import LEFT, TAKEN, part_of, transfer
from goodfit.training.weights import weights_of


def network(channels: int = 1, outputs: int = 2) -> nn.Module:
    return nn.ModuleDict(
        {
            "encoder": nn.Sequential(nn.Conv2d(channels, 4, 3), nn.Conv2d(4, 4, 3)),
            "seg_layers": nn.ModuleList([nn.Conv2d(4, outputs, 1)]),
        }
    )


def test_name_and_shape_decide() -> None:
    torch.manual_seed(0)
    source, target = network(channels=2, outputs=3), network()
    before = {name: tensor.clone() for name, tensor in weights_of(target).items()}
    given = {**weights_of(source), "more.weight": torch.ones(1)}
    done = transfer(target, given)
    assert done.taken == ["encoder.1.weight", "encoder.1.bias"]
    assert done.left["encoder.0.weight"] == "of another shape: 4x2x3x3 there, 4x1x3x3 here"
    assert done.left["encoder.0.bias"] == done.left["encoder.0.weight"]
    assert set(done.misfits()) == set(done.left)
    assert done.unused == ["more.weight"]
    after = weights_of(target)
    assert all(torch.equal(after[name], given[name]) for name in done.taken)
    assert all(torch.equal(after[name], before[name]) for name in done.left)
    rows = {(row.part, row.fate): row for row in done.rows()}
    assert rows["encoder.1", TAKEN].values == 4 * 4 * 9 + 4
    assert (rows["encoder.0", LEFT].tensors, rows["encoder.0", LEFT].values) == (2, 4 * 9 + 4)
    assert sum(row.values for row in done.rows()) == sum(tensor.numel() for tensor in after.values())


def test_output_layers_are_left_where_told() -> None:
    source, target = network(), network()
    done = transfer(target, weights_of(source), outputs=("seg_layers.",), why_not_outputs="of other classes")
    assert done.left == dict.fromkeys(("seg_layers.0.weight", "seg_layers.0.bias"), "of other classes")
    assert not done.misfits()
    assert not transfer(target, weights_of(source), outputs=("seg_layers.",)).left


def test_weights_that_are_not_given_stay() -> None:
    done = transfer(network(), {})
    assert not done.taken
    assert set(done.left.values()) == {"not among the weights given"}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("encoder.stages.0.0.convs.0.conv.weight", "encoder.stages.0"),
        ("encoder.stem.convs.0.conv.bias", "encoder.stem.convs.0"),
        ("decoder.seg_layers.1.bias", "decoder.seg_layers.1"),
        ("backbone.body.conv1.weight", "backbone.body"),
        ("head.weight", "head"),
        ("scale", "scale"),
    ],
)
def test_parts_end_at_the_first_number(name: str, part: str) -> None:
    assert part_of(name) == part
