"""What a user changed in the plan.json of instances: which edits are honoured, and what else they call for."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from goodfit.commands.places import other_content
from goodfit.commands.trained import flat
from goodfit.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from goodfit.data.instances.dataset import InstanceDataset
    from goodfit.planning.instances.plan import InstancePlan

_WITHOUT_EFFECT = {
    "goodfit_version": "it only tells what wrote the file",
    "memory": "sizes and batch follow from it only when the plan is made; edit model.image_min_size or batch_size, or plan "
    "anew with --memory",
    "predicted_memory": "it is computed from the other fields",
    "predicted_tensors": "it is computed from the other fields",
    "data.name": "it is only a name",
    "budget.expected_steps": "it is computed from the time budget",
}
_CALLS_FOR: tuple[tuple[str, str, str], ...] = (
    ("model.image_min_size", "model.anchor_sizes", "are in pixels of the size before"),
    ("model.image_max_size", "model.anchor_sizes", "are in pixels of the size before"),
    ("augmentation.quarter_turns", "model.anchor_ratios", "were derived for the turns before"),
    ("batch_size", "training.learning_rate", "was derived from the batch size before (linear rule)"),
    ("training.optimizer", "training.learning_rate", "was derived for the optimizer before"),
    ("model.weights", "model.normalisation", "was chosen for the weights before"),
    ("model.weights", "model.frozen_stages", "was chosen for the weights before"),
    ("model.backbone", "model.frozen_stages", "was chosen for the backbone before"),
)
"""Edited field, the field that was derived from it, and how it stands to it."""
_MEASURED = (
    "model.",
    "batch_size",
    "augmentation.scale_range",
    "training.optimizer",
    "training.precision",
    "training.ema",
)


def values_of(plan: InstancePlan) -> dict[str, Any]:
    """Give the fields of a plan by dotted name, reasons left out."""
    return flat(plan.model_dump(mode="json"))


def measured_parts(plan: InstancePlan) -> str:
    """Digest of what memory and step time depend on; another digest means that they are to be measured anew."""
    parts = {
        name: value
        for name, value in values_of(plan).items()
        if name.startswith((*_MEASURED, "budget.")) and name != "budget.expected_steps"
    }
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()


def refuse_other_data(
    plan: InstancePlan, dataset: InstanceDataset, key: str, path: Path, recorded: object = None
) -> None:
    """Refuse a plan whose data are not those of the dataset.

    Args:
        plan: of a run.
        dataset: as it is now.
        key: ``content_key`` of it.
        path: of the plan.
        recorded: where the run's dataset lay.

    Raises:
        PlanError: the dataset has changed, or its description in the plan was edited.
    """
    if plan.data.key != key:
        raise PlanError(other_content(path, recorded, dataset))
    if plan.data.categories != list(dataset.categories) or plan.data.has_masks != dataset.has_masks:
        raise PlanError(
            f"{path}: data.categories and data.has_masks tell what the dataset holds ({', '.join(dataset.categories)}; "
            f"{'masks' if dataset.has_masks else 'boxes alone'}); edit the dataset, not the plan. To train boxes alone, set "
            "model.masks to false."
        )


def remarks_on_edits(before: Mapping[str, Any], plan: InstancePlan) -> list[str]:
    """Say what was edited in a plan, what of it has no effect, and what else ought to follow.

    Args:
        before: the fields as the plan was written (``values_of``).
        plan: as it is now.
    """
    now = values_of(plan)
    edited = [name for name, value in now.items() if name in before and before[name] != value]
    lines = [f"plan.json was edited: {name} is {now[name]}, was {before[name]}" for name in edited]
    lines += [
        f"warning: {name} was edited, without effect: {_WITHOUT_EFFECT[name]}."
        for name in edited
        if name in _WITHOUT_EFFECT
    ]
    if "training.momentum" in edited and plan.training.optimizer != "sgd":
        lines.append("warning: training.momentum was edited, without effect: it is of the optimizer sgd.")
    said = set()
    for name, other, why in _CALLS_FOR:
        if name in edited and other not in edited and other not in said:
            said.add(other)
            lines.append(
                f"warning: {name} was edited, and {other} stays: {now[other]}, which {why}. Edit it, too, or plan anew with "
                f"an option in place of the edit."
            )
    model = plan.model
    if "model.weights" in edited and model.weights == "none":
        if model.normalisation == "frozen_batch":
            lines.append(
                "warning: model.weights none with model.normalisation frozen_batch: the statistics of batch norm are then "
                "never learnt. Set model.normalisation to group."
            )
        if model.frozen_stages:
            lines.append(
                f"warning: model.weights none with model.frozen_stages {model.frozen_stages}: these stages stay random. Set "
                "model.frozen_stages to 0."
            )
    return lines
