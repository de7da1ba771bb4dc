"""One class to override, for those who know nnU-Net's trainers: what is trained, and how.

::

    class Patient(goodfit.Recipe):
        epochs = 400
        patience = 30
        monitor = "val_dice"

        def build_loss(self, plan, default):
            return MyLoss(default())

    goodfit.train(dataset, recipe=Patient)            # or: goodfit train DATASET --recipe my_module:Patient
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from torch import nn

    from goodfit.training.hooks import Hook


class Recipe:
    """Attributes stand for settings, methods make the parts of a training.

    An attribute that is None leaves the decision to the plan; any other value goes into the plan as if it had
    been given as an option, so that it is recorded and shown. The methods get the plan and a function that makes
    the default part, which they may change, wrap or replace.

    Attributes:
        epochs: largest number of epochs.
        steps_per_epoch: optimizer updates per epoch.
        batch_size: samples per step.
        time: for the whole command, like "2h30m".
        patience: epochs without improvement before the cooldown; 0 switches it off.
        min_delta: rise of the watched metric that counts as an improvement.
        monitor: column of metrics.csv to watch.
        validate_every: like "2 epochs" or "100 steps".
        schedule: "wsd" or "poly".
        cooldown: its steps as a share of the steps before it.
        optimizer: "adamw" or "sgd".
        learning_rate: the peak.
        seed: of weights, data order and augmentation.
        hooks: called in the training, after those given to ``train``.
    """

    epochs: int | None = None
    steps_per_epoch: int | None = None
    batch_size: int | None = None
    time: str | float | None = None
    patience: int | None = None
    min_delta: float | None = None
    monitor: str | None = None
    validate_every: str | int | None = None
    schedule: str | None = None
    cooldown: float | None = None
    optimizer: str | None = None
    learning_rate: float | None = None
    seed: int | None = None
    hooks: ClassVar[Sequence[type[Hook]]] = ()

    def build_network(self, plan: Any, default: Callable[[], nn.Module]) -> nn.Module:
        """Make the network. Training, prediction and every continued run call this.

        Args:
            plan: the plan (``goodfit.planning.plan.Plan`` for segmentation, ``goodfit.planning.instances.plan.InstancePlan``
                for instances).
            default: makes the plan's network; of instances with the weights it begins with, a detector like
                torchvision's, which the network has to stay.
        """
        return default()

    def build_loss(self, plan: Any, default: Callable[[], nn.Module]) -> nn.Module:
        """Make the loss: a module that takes the network's outputs and the labels and gives a scalar.

        Of instances it takes the losses that the detector gives, by name (``rpn_objectness``, ``rpn_box``, ``class``,
        ``box``, ``mask``), and gives their total; the default sums them.
        """
        return default()

    def build_optimizer(
        self, network: nn.Module, plan: Any, default: Callable[[], torch.optim.Optimizer]
    ) -> torch.optim.Optimizer:
        """Make the optimizer; the schedule sets its learning rate at every step."""
        return default()

    def build_augmentation(self, plan: Any, default: Callable[[], Any]) -> Any:
        """Make the settings of the augmentation.

        ``AugmentationSettings`` for segmentation; for instances ``InstanceAugmentation``, the plan's section, or None
        for none.
        """
        return default()

    @classmethod
    def options(cls) -> dict[str, Any]:
        """Give the attributes that are set, as options of ``train``."""
        names = (
            "epochs",
            "steps_per_epoch",
            "batch_size",
            "time",
            "patience",
            "min_delta",
            "monitor",
            "validate_every",
            "schedule",
            "cooldown",
            "optimizer",
            "learning_rate",
            "seed",
        )
        values = {name: getattr(cls, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}
