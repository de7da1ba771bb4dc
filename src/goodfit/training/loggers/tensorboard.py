"""TensorBoard: `tensorboard --logdir runs` shows the curves of all runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.errors import SettingsError
from goodfit.training.hooks import Context, Hook
from goodfit.training.loggers.numbers import numbers_of

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoardLogger(Hook):
    """Writes the numbers of each row into RUN/tensorboard.

    A run that goes on from a checkpoint hides what was logged after it, so that no point appears twice.
    """

    def __init__(self) -> None:
        try:
            import torch.utils.tensorboard  # noqa: F401 (found out now, not after the first epoch)
        except ImportError as error:
            raise SettingsError("--log tensorboard: install it with `pip install goodfit[tensorboard]`.") from error
        self._writer: SummaryWriter | None = None

    def before_train(self, context: Context) -> None:
        """Open the file."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(context.run.path / "tensorboard"), purge_step=context.step + 1)

    def after_validation(self, context: Context) -> None:
        """Log a validation; the row of an epoch's end follows with ``after_epoch``."""
        self._log(context)

    def after_epoch(self, context: Context) -> None:
        """Log the row."""
        self._log(context)

    def after_train(self, context: Context) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()

    def _log(self, context: Context) -> None:
        assert self._writer is not None, "before_train comes first"
        for name, value in numbers_of(context.row).items():
            self._writer.add_scalar(name, value, context.step)
