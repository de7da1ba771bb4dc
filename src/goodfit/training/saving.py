"""What a run keeps on disk of its state, and how it gets it back."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from goodfit.errors import RunError
from goodfit.training.checkpoint import (
    Checkpoint,
    load_newest,
)
from goodfit.training.optimizer_state import optimizer_numbers, optimizer_tensors, put_optimizer_state
from goodfit.training.progress import Progress
from goodfit.training.weights import put_weights, weights_of

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import nn

    from goodfit.training.checkpoint_writer import CheckpointWriter
    from goodfit.training.controller import ControllerSettings
    from goodfit.training.ema import WeightAverage
    from goodfit.training.hooks import Hooks
    from goodfit.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

FINAL_TOLERANCE = 2
"""In units of ``min_delta``. On retinal vessels (four validation images) the best of fifty values of the metric came
from before the cooldown and scored 0.005 less on test images than the weights at its end."""


class Keeper:
    """Saves and restores network, weight average, optimizer, hooks and progress.

    Args:
        run: the folder that receives the checkpoints.
        network: its weights are saved and restored in place.
        average: likewise.
        optimizer: likewise.
        hooks: likewise, by their ``state_dict``.
        identity: digest of what is trained; a checkpoint of another identity is refused.
        writer: writes beside the training.
    """

    def __init__(
        self,
        run: RunFolder,
        network: nn.Module,
        average: WeightAverage,
        optimizer: torch.optim.Optimizer,
        hooks: Hooks,
        identity: str,
        writer: CheckpointWriter,
    ) -> None:
        self._run, self._network, self._average = run, network, average
        self._optimizer, self._hooks, self._identity, self._writer = optimizer, hooks, identity, writer

    def save(self, progress: Progress) -> None:
        """Write checkpoints/last; the one before becomes checkpoints/previous."""
        self._write(self._run.last, progress, self._run.previous)

    def save_stable(self, progress: Progress) -> None:
        """Keep the state before the cooldown, from which the run can be extended."""
        self._write(self._run.stable, progress)

    def keep_best(self, settings: ControllerSettings, progress: Progress, metric: float, *, final: bool) -> None:
        """Write checkpoints/best, the averaged weights, when ``metric`` is as good as the best so far or better.

        Args:
            settings: name and direction of the metric.
            progress: holds the best so far.
            metric: of these weights.
            final: these are the weights at the end of the run. They are kept unless they are worse than the best by
                more than ``FINAL_TOLERANCE`` times ``min_delta``: the best of many noisy values is partly best by luck.
        """
        best = progress.best_metric
        tolerance = FINAL_TOLERANCE * settings.min_delta if final else 0.0
        if math.isnan(metric):
            if best is not None or self._run.best.is_file():
                return
            logger.warning("%s is not defined yet; checkpoints/best holds these weights until it is", settings.monitor)
        elif best is not None and (best - metric) * (1 if settings.larger_is_better else -1) > tolerance:
            return
        else:
            progress.best_metric = metric
        step = progress.control.step
        state = {"epoch": math.ceil(step / settings.steps_per_epoch), "step": step, settings.monitor: metric}
        self._writer.write(self._run.best, Checkpoint({"network": self._average.weights}, state))

    def load(self) -> Progress | None:
        """Restore the newest sound checkpoint; None when there is none.

        Raises:
            RunError: all checkpoints are damaged, or they belong to another training.
        """
        self._writer.wait()
        found = load_newest([self._run.last, self._run.previous])
        if found is None:
            return None
        checkpoint, path = found
        if checkpoint.state["identity"] != self._identity:
            raise RunError(
                f"{path}: this checkpoint belongs to another training than the run's plan. Put the run's own files back, or "
                "start again with --fresh."
            )
        put_weights(self._network, checkpoint.groups["network"], str(path))
        numbers = checkpoint.state.get("optimizer")
        put_optimizer_state(self._optimizer, checkpoint.groups.get("optimizer", {}), numbers)
        for name, tensor in checkpoint.groups["average"].items():
            self._average.weights[name].copy_(tensor)
        self._hooks.load_state_dict(checkpoint.state["hooks"])
        return Progress.from_dict(dict(checkpoint.state["progress"]))

    def _write(self, path: Path, progress: Progress, previous: Path | None = None) -> None:
        groups = {
            "network": weights_of(self._network),
            "average": self._average.weights,
            "optimizer": optimizer_tensors(self._optimizer),
        }
        state = {
            "identity": self._identity,
            "progress": progress.to_dict(),
            "hooks": self._hooks.state_dict(),
            "optimizer": optimizer_numbers(self._optimizer),
        }
        self._writer.write(path, Checkpoint(groups, state), previous)
