from __future__ import annotations

import pytest

from goodfit.planning.instances.defaults import default_instance_budget, default_instance_training
from goodfit.planning.instances.plan import InstanceTraining


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_each_optimizer_has_its_rates(optimizer: str) -> None:
    training = default_instance_training("sgd" if optimizer == "sgd" else "adamw", batch_size=2)
    assert training.optimizer == optimizer
    assert training.learning_rate == (0.0025 if optimizer == "sgd" else 2.5e-4)
    assert training.weight_decay == (1e-4 if optimizer == "sgd" else 0.05)


def test_every_reason_belongs_to_a_field() -> None:
    assert set(default_instance_training().reasons) <= set(InstanceTraining.model_fields)
    assert set(default_instance_budget().reasons) == {"epochs", "steps_per_epoch"}


def test_the_monitor_says_what_it_averages() -> None:
    assert "masks" in default_instance_training(masks=True).reasons["monitor"]
    assert "boxes" in default_instance_training(masks=False).reasons["monitor"]
