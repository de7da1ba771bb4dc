"""``goodfit plan`` and ``goodfit preprocess`` of frames with instances."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from goodfit.commands.extensions import find_recipe, with_extensions
from goodfit.commands.instances.building import fill_store
from goodfit.commands.instances.prepare import (
    PreparedInstances,
    aim_at_instances,
    prepare_instances,
    with_measurement,
)
from goodfit.errors import SettingsError
from goodfit.training.run_folder import locked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from goodfit.observer import Observer

CONFIGURATION = "instances"
"""The only configuration of such a plan."""


def plan_instances(
    dataset: str | Path,
    *,
    run: str | Path | None,
    fresh: bool,
    settings: Mapping[str, Any] | None,
    options: Mapping[str, Any],
    observer: Observer,
) -> PreparedInstances:
    """Plan a training on frames with instances; see ``goodfit.plan``, which calls this."""
    started = time.monotonic()
    explicit = with_extensions(settings, options, (), None)
    target = aim_at_instances(dataset, run, fresh=fresh, explicit=explicit)
    with locked(target.run.path, "run"), locked(target.cache, "dataset's cache"):
        prepared = prepare_instances(target, observer)
        recipe = find_recipe(prepared.settings.training)()
        return with_measurement(prepared, recipe, observer, started)


def preprocess_instances(
    dataset: str | Path,
    *,
    run: str | Path | None,
    fresh: bool,
    configurations: Sequence[str] | None,
    settings: Mapping[str, Any] | None,
    options: Mapping[str, Any],
    observer: Observer,
) -> dict[str, Path]:
    """Decode every frame at the size of the plan; see ``goodfit.preprocess``, which calls this.

    Raises:
        SettingsError: another configuration is asked for.
    """
    others = sorted({*(configurations or ())} - {CONFIGURATION})
    if others:
        raise SettingsError(
            f"configuration {', '.join(others)} is not in the plan of frames with instances, which has: {CONFIGURATION}."
        )
    target = aim_at_instances(dataset, run, fresh=fresh, explicit=with_extensions(settings, options, (), None))
    with locked(target.run.path, "run"), locked(target.cache, "dataset's cache"):
        return {CONFIGURATION: fill_store(prepare_instances(target, observer), observer).folder}
