"""The plan of a run on instances in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.reporting.plan_words import Group, decisions

if TYPE_CHECKING:
    from goodfit.planning.instances.plan import InstancePlan


def instance_plan_groups(plan: InstancePlan) -> list[Group]:
    """Lay out every section of the plan."""
    return [
        Group(
            "Resources", list(decisions(plan, "", ("memory", "predicted_memory", "predicted_tensors", "batch_size")))
        ),
        Group("Data", list(decisions(plan.data, "data"))),
        Group("Detector", list(decisions(plan.model, "model"))),
        Group("Sampling of frames", list(decisions(plan.sampling, "sampling"))),
        Group("Augmentation", list(decisions(plan.augmentation, "augmentation"))),
        Group("Budget", list(decisions(plan.budget, "budget"))),
        Group("Training", list(decisions(plan.training, "training"))),
    ]
