"""What a run was trained with, kept beside its checkpoints, so that later edits cannot pass for it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from goodfit.commands.places import lasting
from goodfit.errors import RunError
from goodfit.files import read_json, write_json
from goodfit.planning.instances.plan import InstancePlan, parse_instance_plan
from goodfit.planning.plan import Plan, parse_plan

if TYPE_CHECKING:
    from goodfit.data.splits import Split
    from goodfit.training.run_folder import RunFolder

FREE = (
    "budget.",
    "training.patience",
    "training.min_delta",
    "training.validation_share",
    "training.checkpoint_seconds",
    "memory",
    "predicted_memory",
    "predicted_tensors",
    "estimated_memory",
)
"""What may be edited in a training that has begun: how long it goes on, not what it is."""


def remember(run: RunFolder, plan: Plan | InstancePlan, split: Split) -> None:
    """Note plan and split at the beginning of a training."""
    sets = {name: sorted(cases) for name, cases in split.sets().items()}
    write_json(run.trained, {"plan": plan.model_dump(mode="json"), "split": sets})


def identity_of(run: RunFolder) -> str:
    """Digest of everything that makes a training what it is: plan, split, settings. Names and places have no part."""
    noted = {"trained": read_json(run.trained, RunError), "settings": lasting(run.read_record().get("settings", {}))}
    noted["trained"]["plan"] = {
        name: value for name, value in flat(noted["trained"]["plan"]).items() if name != "goodfit_version"
    }
    return hashlib.blake2b(json.dumps(noted, sort_keys=True).encode(), digest_size=8).hexdigest()


def trained_plan(run: RunFolder) -> Plan | None:
    """Give the plan that the run's weights were trained with, or None before the training."""
    if not run.trained.is_file():
        return None
    return parse_plan(read_json(run.trained, RunError)["plan"], str(run.trained))


def trained_instance_plan(run: RunFolder) -> InstancePlan | None:
    """Give the same of a run on instances."""
    if not run.trained.is_file():
        return None
    return parse_instance_plan(read_json(run.trained, RunError)["plan"], str(run.trained))


def edits_since(run: RunFolder, plan: Plan | InstancePlan, split: Split | None = None) -> list[str]:
    """Name the fields of plan.json (and the sets of splits.json) that differ from what the run was trained with."""
    if not run.trained.is_file():
        return []
    noted = read_json(run.trained, RunError)
    before, now = flat(noted["plan"]), flat(plan.model_dump(mode="json"))
    names = [name for name in {**before, **now} if before.get(name) != now.get(name) and not name.startswith(FREE)]
    if split is not None:
        sets = {name: sorted(cases) for name, cases in split.sets().items()}
        names += [f"splits.{name}" for name, cases in sets.items() if noted["split"].get(name) != cases]
    return names


def refuse_edits(run: RunFolder, plan: Plan | InstancePlan, split: Split) -> None:
    """Refuse to go on with another plan or split than the one that the weights have seen.

    Raises:
        RunError: names the edited fields and the way out.
    """
    edits = edits_since(run, plan, split)
    if edits:
        raise RunError(
            f"{run.path}: {', '.join(edits[:6])} changed since this training began. Undo the edit, or train anew with "
            "--fresh or another --run."
        )


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Give the leaves of nested dicts by dotted name, reasons left out."""
    if not isinstance(value, dict):
        return {name: value}
    leaves: dict[str, Any] = {}
    for key, entry in value.items():
        if key != "reasons":
            leaves |= flat(entry, f"{name}.{key}" if name else key)
    return leaves
