"""The class to override."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from goodfit.settings import SHORTCUTS, explicit_settings
from goodfit.training.hooks import Hook
from goodfit.training.recipe import Recipe


class Patient(Recipe):
    epochs = 400
    patience = 30
    monitor = "dice"
    validate_every = 100
    time = "2h30m"
    hooks = (Hook,)


def test_attributes_stand_for_options() -> None:
    assert Recipe.options() == {}
    assert Patient.options() == {
        "epochs": 400,
        "patience": 30,
        "monitor": "dice",
        "validate_every": 100,
        "time": "2h30m",
    }
    assert explicit_settings(None, Patient.options()) == {
        "budget.epochs": 400,
        "budget.time": 9000.0,
        "training.patience": 30,
        "training.monitor": "val_dice",
        "training.validate_every": "100 steps",
    }


def test_every_attribute_is_an_option_and_explained() -> None:
    attributes = {name for name in Recipe.__annotations__ if name != "hooks"}
    everything = type("All", (Recipe,), dict.fromkeys(attributes, 1))
    assert set(everything.options()) == attributes
    assert attributes <= set(SHORTCUTS)
    assert Recipe.__doc__ is not None
    assert [name for name in (*attributes, "hooks") if f"\n        {name}: " not in Recipe.__doc__] == []


def test_zero_and_false_are_values() -> None:
    assert type("Zero", (Recipe,), {"patience": 0, "seed": 0}).options() == {"patience": 0, "seed": 0}


def test_a_subclass_of_a_subclass_keeps_what_it_does_not_override() -> None:
    assert type("Impatient", (Patient,), {"patience": 5}).options() == {**Patient.options(), "patience": 5}


@pytest.mark.parametrize("part", ["network", "loss", "augmentation"])
def test_every_part_is_the_default_unless_overridden(part: str) -> None:
    default = nn.Linear(2, 1)
    assert getattr(Recipe(), f"build_{part}")("a plan", lambda: default) is default


def test_the_optimizer_gets_the_network_it_optimizes() -> None:
    network = nn.Linear(2, 1)
    default = torch.optim.SGD(network.parameters(), lr=0.1)
    assert Recipe().build_optimizer(network, "a plan", lambda: default) is default


def test_a_default_part_is_made_only_when_it_is_asked_for() -> None:
    class Own(Recipe):
        def build_loss(self, plan: Any, default: Any) -> nn.Module:
            return nn.MSELoss()

    def fail() -> nn.Module:
        raise AssertionError("nobody asked")

    assert isinstance(Own().build_loss("a plan", fail), nn.MSELoss)
