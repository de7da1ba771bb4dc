"""nnU-Net's weights in goodfit's networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from goodfit.errors import RunError
from goodfit.interop.nnunet.weights import network_with
from goodfit.tasks.segmentation.network import build_network

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from goodfit.planning.plan import Plan


def state(plan: Plan) -> dict[str, Tensor]:
    torch.manual_seed(3)
    return dict(build_network(plan.chosen.network, 1, 3, 3).state_dict())


def test_all_weights_are_taken(tiny_plan: Callable[..., Plan]) -> None:
    weights = state(tiny_plan())
    network = network_with(tiny_plan(), weights, "x.pth")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.pop("decoder.seg_layers.0.bias"), r"x\.pth: the file lacks decoder\.seg_layers\.0\.bias"),
        (lambda w: w.update({"running_mean": torch.ones(2)}), r"x\.pth: the file has unknown running_mean"),
        (
            lambda w: w.update({"decoder.seg_layers.0.bias": torch.ones(7)}),
            r"x\.pth: the file has another shape for decoder\.seg_layers\.0\.bias",
        ),
        (lambda w: w.update({"decoder.seg_layers.0.bias": torch.tensor([1.0, torch.nan, 1.0])}), "no finite numbers"),
        (lambda w: w.update({"decoder.seg_layers.0.bias": torch.tensor([1, 2, 3])}), "no finite numbers"),
    ],
)
def test_missing_extra_and_misshapen_weights_are_refused(
    tiny_plan: Callable[..., Plan], change: Callable[[dict[str, Tensor]], object], said: str
) -> None:
    weights = state(tiny_plan())
    change(weights)
    with pytest.raises(RunError, match=said):
        network_with(tiny_plan(), weights, "x.pth")
