"""Loggers by name."""

from __future__ import annotations

import pytest

from goodfit.settings import MachineSettings
from goodfit.training.loggers import loggers
from goodfit.training.loggers.mlflow import MLflowLogger
from goodfit.training.loggers.tensorboard import TensorBoardLogger


@pytest.fixture(autouse=True)
def _no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlflow.MlflowClient", lambda: None)


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        ([], []),
        (["tensorboard"], [TensorBoardLogger]),
        (["mlflow", "tensorboard"], [TensorBoardLogger, MLflowLogger]),
    ],
)
def test_loggers_by_name(names: list[str], kinds: list[type]) -> None:
    assert MachineSettings(log=names).log == names
    assert [type(made) for made in loggers(names, "run", {})] == kinds
