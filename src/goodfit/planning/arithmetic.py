"""The sums users ask for: batch x steps x epochs, samples, passes over the data, memory, hours."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goodfit.planning.plan import Plan


def describe_seconds(seconds: float) -> str:
    """Write a duration as people say it: 45 s, 12 min, 3.5 h, 12 days."""
    for limit, unit, name in ((90, 1, "s"), (90 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            value = seconds / unit
            return f"{value:.1f} {name}" if value < 10 and unit > 1 else f"{value:.0f} {name}"
    return f"{seconds / 86400:.1f} days"


def describe_bytes(count: float) -> str:
    """Write an amount of memory in GiB or MiB."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def describe_budget(plan: Plan, training_cases: int) -> list[str]:
    """Say what the budget amounts to, one sentence a line."""
    chosen, budget = plan.chosen, plan.budget
    limit = "at most " if budget.time is not None or plan.training.patience is not None else ""
    epochs = budget.epochs
    if budget.expected_steps is not None:
        limit, epochs = "about ", min(epochs, max(1, budget.expected_steps // budget.steps_per_epoch))
    samples = chosen.samples(budget.steps_per_epoch * epochs)
    lines = [
        f"batch {chosen.batch_size} x {budget.steps_per_epoch} steps x {limit}{epochs} epochs = "
        f"{budget.steps_per_epoch * epochs:,} steps, {samples:,} samples, "
        f"{samples / training_cases:,.0f} passes over {training_cases} training cases",
    ]
    if chosen.growth:
        lines.append(f"patches grow: {chosen.reasons.get('growth', 'as plan.json says')}")
    lines += [budget.reasons[name] for name in ("time", "hours") if name in budget.reasons]
    if plan.predicted_memory is not None:
        lines.append(f"memory: {plan.reasons.get('predicted_memory', describe_bytes(plan.predicted_memory))}")
    if plan.estimated_memory is not None:
        lines.append(f"nnU-Net's rule, which counts feature maps, estimates {describe_bytes(plan.estimated_memory)}")
    return lines
