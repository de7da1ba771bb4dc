"""Options that stand for settings, added to a command without repeating their list."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from goodfit.cli import options as o

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PLANNING: dict[str, Any] = {
    "time": o.Time,
    "epochs": o.Epochs,
    "steps_per_epoch": o.StepsPerEpoch,
    "batch_size": o.BatchSize,
    "patch_size": o.PatchSize,
    "spacing": o.Spacing,
    "configuration": o.ConfigurationOption,
    "previous_stage": o.PreviousStage,
    "memory": o.Memory,
    "planner": o.Planner,
    "plans": o.Plans,
    "network": o.Network,
    "backbone": o.Backbone,
    "weights": o.WeightsOption,
    "image_size": o.ImageSize,
    "detectron2_config": o.Detectron2Config,
    "group_by": o.GroupBy,
    "device": o.Device,
    "force": o.Force,
}
"""What a plan depends on."""
SPLIT: dict[str, Any] = {"fold": o.Fold}
"""What a run's split depends on; a cross-validation has every fold."""
TRAINING: dict[str, Any] = {
    "optimizer": o.Optimizer,
    "learning_rate": o.LearningRate,
    "schedule": o.Schedule,
    "cooldown": o.CooldownOption,
    "cooldown_shape": o.CooldownShape,
    "patience": o.Patience,
    "min_delta": o.MinDelta,
    "monitor": o.Monitor,
    "validate_every": o.ValidateEvery,
    "precision": o.Precision,
    "seed": o.Seed,
    "hook": o.Hooks,
    "recipe": o.RecipeOption,
    "initialise_from": o.InitialiseFrom,
}
"""What a training depends on beside its plan."""
MACHINE: dict[str, Any] = {
    "workers": o.Workers,
    "grace": o.Grace,
    "log": o.Log,
    "tta": o.Tta,
    "step_size": o.StepSize,
}
"""What may differ from one sitting of a training to the next."""


def with_settings(*tables: Mapping[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add options to a command, which receives their values as keyword arguments; not given is None.

    The command takes them as ``**wishes``; typer sees them in the place of that parameter.
    """
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for table in tables
        for name, annotation in table.items()
    ]

    def add(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [parameter for parameter in signature.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
        # The added options come before the command's last ones (--set, --verbose), after its arguments.
        first = [parameter for parameter in own if parameter.kind is not parameter.KEYWORD_ONLY]
        last = [parameter for parameter in own if parameter.kind is parameter.KEYWORD_ONLY]

        @functools.wraps(command)
        def wrapper(*arguments: Any, **values: Any) -> None:
            command(*arguments, **values)

        parameters = [*first, *added, *last]
        del wrapper.__wrapped__  # typer would read the command's own signature
        wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapper

    return add
