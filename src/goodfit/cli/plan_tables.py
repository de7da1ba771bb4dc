"""A plan in words: the arithmetic of the budget and every derived value with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.cli.screen import console, show_table
from goodfit.planning.arithmetic import describe_budget, describe_bytes
from goodfit.planning.plan import IntensityStatistics, PatchStage

if TYPE_CHECKING:
    from goodfit.commands.instances.prepare import PreparedInstances
    from goodfit.commands.plan import Prepared
    from goodfit.planning.plan import Section


_SAID_BELOW = ("memory", "predicted_memory", "predicted_tensors", "estimated_memory")


def _words(value: object) -> str:
    """Write a value of a plan the way users write it; what is a section of its own is left to its own rows."""
    if isinstance(value, dict):
        return ", ".join(map(str, value))
    if isinstance(value, list):
        if any(isinstance(item, IntensityStatistics) for item in value):
            return f"{len(value)} channels"
        if any(isinstance(item, PatchStage) for item in value):
            return ", ".join(map(str, value))
        return " ".join("x".join(map(str, item)) if isinstance(item, list) else str(item) for item in value)
    return str(value)


def _rows(section: Section, where: str) -> list[list[str]]:
    """Fields that have a reason: name, value, reason."""
    return [[f"{where}{name}", _words(getattr(section, name, "")), why] for name, why in section.reasons.items()]


def show_plan(prepared: Prepared) -> None:
    """Print the chosen configuration, what was derived and why, and what the budget amounts to."""
    plan, split = prepared.plan, prepared.split
    rows = [
        *(row for row in _rows(plan, "") if row[0] not in _SAID_BELOW),
        *_rows(plan.data, "data."),
        *_rows(plan.chosen, f"{plan.configuration}."),
        *_rows(plan.chosen.network, f"{plan.configuration}.network."),
        *_rows(plan.budget, "budget."),
        *_rows(plan.training, "training."),
    ]
    show_table(f"{plan.data.name}: plan", ["value", "is", "because"], rows)
    others = [
        [name, "x".join(map(str, c.patch_size)), str(c.batch_size), "x".join(f"{s:g}" for s in c.spacing)]
        for name, c in plan.configurations.items()
    ]
    show_table("configurations", ["name", "patch", "batch", "spacing (mm)"], others)
    console.print(f"split: {len(split.train)} train, {len(split.validation)} validation, {len(split.test)} test cases")
    for line in describe_budget(plan, len(split.train)):
        console.print(line, markup=False)


def show_instance_plan(prepared: PreparedInstances) -> None:
    """Print what was derived for frames with instances and why, and what the budget amounts to."""
    # The module loads torch; by now the plan has needed it anyway.
    from goodfit.commands.instances.train import describe

    plan = prepared.plan
    rows = [
        *(row for row in _rows(plan, "") if row[0] not in _SAID_BELOW),
        *_rows(plan.data, "data."),
        *_rows(plan.model, "model."),
        *_rows(plan.augmentation, "augmentation."),
        *_rows(plan.sampling, "sampling."),
        *(row for row in _rows(plan.budget, "budget.") if row[0] not in ("budget.hours",)),
        *_rows(plan.training, "training."),
    ]
    show_table(f"{plan.data.name}: plan", ["value", "is", "because"], rows)
    for line in describe(prepared):
        console.print(line, markup=False)
    if plan.predicted_memory is not None:
        said = plan.reasons.get("predicted_memory", describe_bytes(plan.predicted_memory))
        console.print(f"memory: {said}", markup=False)
    sets = ", ".join(f"{name} {why}" for name, why in prepared.split.reasons.items())
    console.print(f"split: {sets}", markup=False)
    if prepared.split.optimistic:
        console.print(f"scores will be optimistic: {prepared.split.optimistic_reason}", markup=False)
