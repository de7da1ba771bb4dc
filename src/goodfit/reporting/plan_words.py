"""The plan in words: each value as people write it, with the reason the plan gives for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goodfit.planning import wording
from goodfit.planning.plan import IntensityStatistics, Section

if TYPE_CHECKING:
    from collections.abc import Iterable

    from goodfit.planning.plan import Plan

DEFAULT = "default"
_BYTES = ("memory", "predicted_memory", "predicted_tensors", "estimated_memory")
_UNITS = {"spacing", *_BYTES, "time", "patch_size", "median_shape"}
_AXES = "zyx"


@dataclass(frozen=True)
class Decision:
    """One value of the plan.

    Attributes:
        field: where it stands in plan.json, such as ``training.learning_rate``.
        name: the field's name with blanks.
        value: as text.
        reason: why, as far as the plan says.
    """

    field: str
    name: str
    value: str
    reason: str


@dataclass(frozen=True)
class Group:
    """Decisions that belong together."""

    title: str
    decisions: list[Decision]


def plan_groups(plan: Plan) -> list[Group]:
    """Lay out the chosen configuration and all that goes with it."""
    chosen, place = plan.chosen, f"configurations.{plan.configuration}"
    return [
        Group("Resources", list(decisions(plan, "", (*_BYTES, "configuration")))),
        Group("Data", list(decisions(plan.data, "data"))),
        Group(f"Configuration {plan.configuration}", list(decisions(chosen, place))),
        Group("Network", list(decisions(chosen.network, f"{place}.network"))),
        Group("Budget", list(decisions(plan.budget, "budget"))),
        Group("Training", list(decisions(plan.training, "training"))),
    ]


def decisions(section: Section, place: str, only: Iterable[str] | None = None) -> Iterable[Decision]:
    """Give the values of a section with their reasons.

    Args:
        section: of a plan.
        place: where it stands in plan.json; "" for the whole.
        only: the fields to give, in order; all but name and key where none are told.
    """
    fields = type(section).model_fields
    for name in fields if only is None else only:
        value = getattr(section, name)
        if name in {"reasons", "name", "key"} or fields[name].exclude or isinstance(value, Section):
            continue
        reason = section.reasons.get(name, "")
        if value is None and not reason:
            continue
        if (
            not reason
            and not fields[name].is_required()
            and value == fields[name].get_default(call_default_factory=True)
        ):
            reason = DEFAULT
        yield Decision(f"{place}.{name}".strip("."), name.replace("_", " "), say(name, value), reason)


def say(name: str, value: Any) -> str:
    """Write the value of a field as text."""
    if value is None:
        return "none"
    if name in _UNITS:
        return _with_unit(name, value)
    if name == "transpose":
        return " ".join(_AXES[axis] for axis in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} = {say('', item)}" for key, item in value.items())
    if isinstance(value, list):
        nested = bool(value) and all(isinstance(item, list) for item in value)
        return ", ".join(wording.size(item) if nested else say("", item) for item in value)
    return _single(value)


def _single(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, IntensityStatistics):
        return (
            f"mean {_intensity(value.mean)}, sd {_intensity(value.std)}, 0.5 to 99.5 %: "
            f"{_intensity(value.percentile_00_5)} to {_intensity(value.percentile_99_5)}"
        )
    return str(value)


def _intensity(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _with_unit(name: str, value: Any) -> str:
    if name == "spacing":
        return wording.millimetres(value)
    if name in _BYTES:
        return wording.gigabytes(value)
    if name == "time":
        from goodfit.planning.arithmetic import describe_seconds

        return describe_seconds(value)
    return wording.size(value)
