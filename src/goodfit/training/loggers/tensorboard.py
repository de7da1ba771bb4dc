"""TensorBoard: `tensorboard --logdir runs` shows the curves of all runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from goodfit.errors import SettingsError
from goodfit.training.hooks import Context, Hook
from goodfit.training.loggers.numbers import NewNumbers

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
        self._numbers, self._step = NewNumbers(), 0

    def before_train(self, context: Context) -> None:
        """Open the file."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(context.run.path / "tensorboard"), purge_step=self._step + 1)

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

    def state_dict(self) -> dict[str, Any]:
        """Remember up to which step has been logged."""
        return {"step": self._step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to that step."""
        self._numbers, self._step = NewNumbers(), int(state.get("step", 0))

    def _log(self, context: Context) -> None:
        assert self._writer is not None, "before_train comes first"
        for name, value in self._numbers.of(context.row, context.step).items():
            self._writer.add_scalar(name, value, context.step)
        self._writer.flush()
        self._step = context.step
