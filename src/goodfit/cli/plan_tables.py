"""A plan in words: the arithmetic of the budget and every derived value with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from goodfit.cli.screen import console, show_table
from goodfit.planning.arithmetic import describe_budget

if TYPE_CHECKING:
    from goodfit.commands.plan import Prepared
    from goodfit.planning.plan import Section


def _words(value: object) -> str:
    """Write a value of a plan the way users write it; what is a section of its own is left to its own rows."""
    if isinstance(value, dict):
        return ", ".join(map(str, value))
    if isinstance(value, list):
        if any(isinstance(item, BaseModel) for item in value):
            return f"{len(value)} channels"
        return " ".join("x".join(map(str, item)) if isinstance(item, list) else str(item) for item in value)
    return str(value)


def _rows(section: Section, where: str) -> list[list[str]]:
    """Fields that have a reason: name, value, reason."""
    return [[f"{where}{name}", _words(getattr(section, name, "")), why] for name, why in section.reasons.items()]


def show_plan(prepared: Prepared) -> None:
    """Print the chosen configuration, what was derived and why, and what the budget amounts to."""
    plan, split = prepared.plan, prepared.split
    rows = [
        *(row for row in _rows(plan, "") if row[0] not in ("memory", "predicted_memory")),
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
