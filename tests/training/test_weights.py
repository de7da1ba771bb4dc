"""Weights by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from goodfit.errors import RunError
from goodfit.training.weights import put_weights, weights_of


class Shared(nn.Module):
    """A module that holds another one twice, as nnU-Net's decoder holds the encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.again = self.first
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("scratch", torch.zeros(2), persistent=False)


def test_shared_weights_appear_once_and_scratch_buffers_not_at_all() -> None:
    assert set(weights_of(Shared())) == {"first.weight", "first.bias", "mean"}


def test_round_trip() -> None:
    one, other = Shared(), Shared()
    put_weights(other, weights_of(one), "test")
    for name, tensor in weights_of(other).items():
        assert torch.equal(tensor, weights_of(one)[name])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.pop("mean"), "lacks mean"),
        (lambda w: w.update(extra=torch.zeros(1)), "has unknown extra"),
        (lambda w: w.update(mean=torch.zeros(3)), "has another shape for mean"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change, said: str) -> None:  # type: ignore[no-untyped-def]
    weights = {name: tensor.clone() for name, tensor in weights_of(Shared()).items()}
    change(weights)
    with pytest.raises(RunError, match=said):
        put_weights(Shared(), weights, "some file")
