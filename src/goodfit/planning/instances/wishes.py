"""What the user asked for in place of what the rules derive: "section.field" -> value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from goodfit.errors import PlanError
from goodfit.planning.instances.plan import SMALLEST_IMAGE, InstanceModel, InstancePlan
from goodfit.planning.plan import plan_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goodfit.planning.instances.plan import InstanceData

ASKED = "asked for by the user"
PLAN_FIELDS = ("batch_size", "memory")
"""Fields of the plan itself, wished for as ``plan.batch_size``."""
_ANY_SIZE = 2**31
SECTIONS = ("data", "model", "augmentation", "sampling", "budget", "training")
_DESCRIPTIVE = {"data": {"name", "key", "categories", "has_masks"}}
"""What the dataset is, not how it is treated."""


def apply_instance_wishes(plan: InstancePlan, wishes: Mapping[str, Any]) -> InstancePlan:
    """Give the plan with each wish in its place and said to be one; the result is validated as a whole.

    Args:
        plan: as derived; it is not changed.
        wishes: "section.field" -> value, ``plan.batch_size`` and ``plan.memory`` for fields of no section.

    Raises:
        PlanError: there is no such field, or a value cannot be; names each.
    """
    values = plan.model_dump()
    unknown = []
    for name, value in wishes.items():
        section, _, field = name.partition(".")
        if section == "plan" and field in PLAN_FIELDS:
            target = values
        elif section in SECTIONS and field in _fields(section):
            target = values[section]
        else:
            unknown.append(name)
            continue
        target[field] = value
        target["reasons"] = {**target["reasons"], field: ASKED}
    if unknown:
        known = [f"plan.{field}" for field in PLAN_FIELDS]
        known += [f"{section}.{field}" for section in SECTIONS for field in _fields(section)]
        raise PlanError(f"{', '.join(unknown)}: there is no such setting for instances. There are: {', '.join(known)}.")
    try:
        return InstancePlan.model_validate(values)
    except ValidationError as error:
        raise plan_error("the settings", error) from error


def wished_values(data: InstanceData, wishes: Mapping[str, Any]) -> dict[str, Any]:
    """Give the wishes as values of their fields' types, before a plan is derived.

    Raises:
        PlanError: there is no such field, or a value cannot be; names each.
    """
    # The widest pair of sizes: a wish for one of them must not clash with a default of the other.
    model = InstanceModel(masks=data.has_masks, image_min_size=SMALLEST_IMAGE, image_max_size=_ANY_SIZE)
    plan = apply_instance_wishes(InstancePlan(goodfit_version="", memory=1, data=data, model=model), wishes)
    values = {}
    for name in wishes:
        section, _, field = name.partition(".")
        values[name] = getattr(plan if section == "plan" else getattr(plan, section), field)
    return values


def _fields(section: str) -> list[str]:
    """Fields of a section that may be wished for."""
    annotation = InstancePlan.model_fields[section].annotation
    assert annotation is not None
    hidden = _DESCRIPTIVE.get(section, set()) | {"reasons", "oversample_foreground"}
    return [name for name in annotation.model_fields if name not in hidden]
