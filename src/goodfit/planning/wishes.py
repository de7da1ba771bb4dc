"""What the user asked for, put into a plan in place of what was derived, each with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from goodfit.errors import PlanError
from goodfit.planning.defaults import default_budget, default_training
from goodfit.planning.feature_map_budget import Basis
from goodfit.planning.override import override_configuration
from goodfit.planning.patience import patience_fields
from goodfit.planning.plan import plan_error

if TYPE_CHECKING:
    from goodfit import settings as wishes_of
    from goodfit.planning.plan import Budget, Plan, Training
    from goodfit.settings import Settings

PlanSection = TypeVar("PlanSection", "Budget", "Training")

ASKED = "asked for by the user"


def apply_wishes(plan: Plan, settings: Settings, cases: int) -> Plan:
    """Give the plan with the user's overrides of batch, patch, budget and training.

    Args:
        plan: as derived; a wished spacing and configuration have already gone into it.
        settings: the wishes.
        cases: labelled cases of the dataset.

    Raises:
        PlanError: a wish contradicts the network or the data; names the field.
    """
    wishes = settings.plan
    chosen = plan.chosen
    of_cascades = sorted({"previous_stage", "previous_folds"} & wishes.model_fields_set)
    if of_cascades and chosen.previous_stage is None:
        raise PlanError(
            f"plan.{', plan.'.join(of_cascades)}: {chosen.name} has no previous stage. Add -c 3d_cascade_fullres, or leave "
            "it out."
        )
    try:
        if wishes.batch_size is not None or wishes.patch_size is not None:
            # A network of nnU-Net's plans file may be residual without having been asked for by name.
            residual = wishes.network == "plain" and chosen.network.architecture == "residual_unet"
            preset = "resenc" if residual else wishes.network
            memory = None if plan.planner == "measured" else plan.memory
            basis = Basis.of(plan.data.labels, cases, memory, preset)
            chosen = override_configuration(
                chosen, basis, batch_size=wishes.batch_size, patch_size=wishes.patch_size, reason=ASKED
            )
        configurations = {**plan.configurations, plan.configuration: chosen}
        budget = _overridden(default_budget(), settings.budget)
        training = _overridden(default_training(settings.training.optimizer or "adamw"), settings.training)
        wished = plan.model_copy(update={"configurations": configurations, "budget": budget, "training": training})
        return type(plan).model_validate(wished.model_dump())
    except ValidationError as error:
        raise plan_error("the settings", error) from error


def _overridden(section: PlanSection, wishes: wishes_of.Section) -> PlanSection:
    """Replace the fields that were wished for and say so; the result is validated again."""
    given = wishes.model_dump(exclude_unset=True, include=set(type(section).model_fields))
    values = {name: value for name, value in given.items() if value is not None}
    if "patience" in values:
        values = patience_fields(values["patience"]) | {
            name: value for name, value in values.items() if name != "patience"
        }
    reasons = {**section.reasons, **dict.fromkeys(values, ASKED)}
    return type(section).model_validate({**section.model_dump(), **values, "reasons": reasons})
