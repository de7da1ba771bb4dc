"""Other places that the rows of metrics.csv go to, each a hook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.training.hooks import Hook


def loggers(names: Sequence[str], title: str, parameters: Mapping[str, Any]) -> list[Hook]:
    """Make the loggers that the user asks for.

    Args:
        names: of "tensorboard" and "mlflow".
        title: name of the run there.
        parameters: plain values of the plan by dotted name.

    Raises:
        SettingsError: a package is not installed; names the extra that brings it.
    """
    made: list[Hook] = []
    if "tensorboard" in names:
        from goodfit.training.loggers.tensorboard import TensorBoardLogger

        made.append(TensorBoardLogger())
    if "mlflow" in names:
        from goodfit.training.loggers.mlflow import MLflowLogger

        made.append(MLflowLogger(title, parameters))
    return made
