"""Plans that come from nnU-Net: a file named with --plans, or that of a folder of nnUNet_preprocessed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from goodfit.data.dataset import content_key
from goodfit.data.description import Description
from goodfit.errors import DatasetError, PlanError, SettingsError
from goodfit.interop.nnunet.case_store import NnunetStore
from goodfit.interop.nnunet.ledger import not_followed
from goodfit.interop.nnunet.names import configuration_name
from goodfit.interop.nnunet.plan_in import plan_from_nnunet
from goodfit.interop.nnunet.plans_file import read_nnunet_plans
from goodfit.planning.choice import FEWEST_SLICES

if TYPE_CHECKING:
    from goodfit.data.dataset import Dataset
    from goodfit.interop.nnunet.plans_file import NnunetPlans
    from goodfit.planning.plan import Plan
    from goodfit.settings import Settings

logger = logging.getLogger(__name__)

DEFAULT_PLANS = "nnUNetPlans.json"
_DERIVED = ("network", "memory", "spacing", "planner")
"""Settings that say how to plan, and so contradict a plan that is given."""


def has_given_plan(dataset: Dataset, settings: Settings) -> bool:
    """Whether the plan is taken from a file of nnU-Net's instead of being derived."""
    return dataset.layout == "preprocessed" or settings.plan.plans is not None


def given_plan(dataset: Dataset, settings: Settings, key: str | None = None) -> Plan:
    """Make a plan of nnU-Net's plans file; what of it is not followed is warned about by name.

    Args:
        dataset: raw or preprocessed.
        settings: of the user.
        key: ``content_key`` of the dataset, where it is at hand.

    Raises:
        PlanError: the file or the configuration cannot be used.
        DatasetError: no configuration of the file is preprocessed.
        SettingsError: a setting that says how to plan is given, too.
    """
    refused = [f"plan.{name}" for name in _DERIVED if name in settings.plan.model_fields_set]
    if refused:
        raise SettingsError(
            f"{', '.join(refused)}: the plan is taken from {_plans_file(dataset, settings)} and not derived. Leave the "
            "setting out, or plan anew from the raw dataset without --plans."
        )
    plans = read_nnunet_plans(_plans_file(dataset, settings))
    name, reason = _choose(plans, dataset, settings)
    plan = plan_from_nnunet(plans, _description(dataset), name, key=key or content_key(dataset))
    for sentence in not_followed(plans, name):
        logger.warning(sentence)
    left_out = [part for part in plan.reasons["configurations"].split("; ") if part.startswith("left out: ")]
    for part in left_out:
        logger.warning("%s: %s", plans.source, part)
    reasons = {**plan.reasons, "configuration": f"{plan.reasons['configuration']}: {reason}"}
    return plan.model_copy(update={"planner": "nnunet_file", "reasons": reasons})


def given_store(dataset: Dataset, settings: Settings, plan: Plan, *, previous: bool = False) -> NnunetStore:
    """Open the preprocessed arrays of the plan's chosen configuration, or those of the stage before it in a cascade.

    Raises:
        DatasetError: they are not there.
        PlanError: plan.json was edited, and asks for other arrays than those of nnU-Net's plans.
    """
    plans = read_nnunet_plans(_plans_file(dataset, settings))
    name = previous_stage_name(dataset, settings, plan) if previous else _name_in(plans, settings, plan)
    there = plan_from_nnunet(plans, _description(dataset), name)
    configuration = plan.configurations[there.configuration]
    for what, ours, theirs in (
        *(
            (f"data.{field}", getattr(plan.data, field), getattr(there.data, field))
            for field in ("channels", "transpose", "normalisation", "use_mask", "intensities")
        ),
        (f"configurations.{configuration.name}.spacing", configuration.spacing, there.chosen.spacing),
    ):
        if ours != theirs:
            raise PlanError(
                f"{what}: the plan has {ours}, but the arrays of {dataset.root} were preprocessed with {theirs} "
                f"({plans.source}). Undo the edit, or train on the raw dataset, which is preprocessed anew."
            )
    folder = _folder(plans, dataset, name)
    if not folder.is_dir():
        raise DatasetError(
            f"{folder}: configuration {name} is not preprocessed. Run nnUNetv2_preprocess -c {name}, or choose another "
            f"with -c (there are arrays of {', '.join(_with_arrays(plans, dataset)) or 'none'})."
        )
    references = {case.name: case.label for case in dataset.cases if case.label is not None}
    return NnunetStore(folder, plan.data, configuration, references)


def previous_stage_name(dataset: Dataset, settings: Settings, plan: Plan) -> str:
    """Say what the stage before the plan's chosen one is called: in a plans file it may have any name."""
    assert plan.chosen.previous_stage is not None, "only asked of a cascade"
    if not has_given_plan(dataset, settings):
        return plan.chosen.previous_stage
    plans = read_nnunet_plans(_plans_file(dataset, settings))
    name = plans.configuration(_name_in(plans, settings, plan))[0].previous_stage
    assert name is not None, "it is what makes a configuration the second stage"
    return name


def _plans_file(dataset: Dataset, settings: Settings) -> Path:
    wanted = settings.plan.plans
    if dataset.layout != "preprocessed":
        assert wanted is not None, "asked for with --plans"
        return Path(wanted)
    if wanted is not None and Path(wanted).is_file():
        return Path(wanted)
    name = wanted or DEFAULT_PLANS
    file = dataset.root / (name if name.endswith(".json") else f"{name}.json")
    if not file.is_file():
        known = [path.name for path in sorted(dataset.root.glob("*.json")) if "plans" in path.name.lower()]
        raise PlanError(
            f"{file}: there is no such plans file. Name one with --plans; here are: {', '.join(known) or 'none'}."
        )
    return file


def _description(dataset: Dataset) -> Description:
    return Description(dataset.name, dataset.channels, dataset.labels, dataset.file_ending, None)


def _folder(plans: NnunetPlans, dataset: Dataset, name: str) -> Path:
    configuration, _ = plans.configuration(name)
    folder = dataset.root / configuration.data_identifier
    if folder.parent != dataset.root:
        raise PlanError(
            f"{plans.source}: configurations.{name}.data_identifier: {configuration.data_identifier!r} is no name of a "
            "folder beside this file."
        )
    return folder


def _with_arrays(plans: NnunetPlans, dataset: Dataset) -> list[str]:
    """Names of the configurations that can be used, of a preprocessed folder those whose arrays are there."""
    names = []
    for name in plans.names:
        try:
            configuration, _ = plans.configuration(name)
            configuration_name(name, configuration, plans.source)
            if dataset.layout != "preprocessed" or _folder(plans, dataset, name).is_dir():
                names.append(name)
        except PlanError as error:
            logger.debug("%s", error)
    return names


def _choose(plans: NnunetPlans, dataset: Dataset, settings: Settings) -> tuple[str, str]:
    """Choose a configuration by the names that nnU-Net's planners give, as ``choice.choose_configuration`` does."""
    wanted = settings.plan.configuration
    if wanted is not None:
        return wanted, "asked for"
    names = _with_arrays(plans, dataset)
    if not names:
        raise DatasetError(
            f"{dataset.root}: no configuration of {plans.source} is preprocessed. Run nnUNetv2_preprocess, or name the "
            "plans file of the arrays with --plans."
        )
    if "3d_fullres" in names:
        slices = min(plans.configuration("3d_fullres")[0].patch_size)
        if slices >= FEWEST_SLICES or "2d" not in names:
            return "3d_fullres", "3d data; -c names another"
        return "2d", f"a 3d patch would have only {slices} slices; -c names another"
    return ("2d", "there is no 3d_fullres") if "2d" in names else (names[0], "the first that is there")


def _name_in(plans: NnunetPlans, settings: Settings, plan: Plan) -> str:
    """Find what the plans file calls the plan's chosen configuration."""
    asked = settings.plan.configuration
    for name in (*((asked,) if asked in plans.names else ()), *plans.names):
        try:
            if configuration_name(name, plans.configuration(name)[0], plans.source) == plan.configuration:
                return str(name)
        except PlanError as error:
            logger.debug("%s", error)
    raise PlanError(f"{plans.source}: has no configuration like {plan.configuration} of plan.json.")
