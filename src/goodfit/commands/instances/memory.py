"""Memory in planning on instances: the traced prediction, the batch and the size of frames that fit, the refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.commands.memory import Machine, refuse_or_warn
from goodfit.errors import PlanError
from goodfit.planning.instances.boxes import scaled_boxes
from goodfit.planning.instances.planner import LEAST_FRAMES, refit_batch
from goodfit.planning.instances.traced import predict_instance_memory
from goodfit.tasks.instances.sampling import KEEP_BYTES
from goodfit.training.device import choose_device

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.observer import Observer
    from goodfit.planning.instances.fingerprint import InstanceFingerprint
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.planning.memory import MemoryPrediction
    from goodfit.settings import Settings

STEP = 0.8
"""Factor by which the memory that the rules are asked with falls until the traced prediction agrees."""
MOST_TRIES = 6
_SIZES = {"image_min_size", "image_max_size"}


def machine_for(plan: InstancePlan, settings: Settings, fingerprint: InstanceFingerprint) -> Machine:
    """Look at the machine, for a training that keeps the masks of its frames decoded."""
    device = choose_device(settings.machine.device)
    boxes = scaled_boxes(fingerprint.box_array(), plan.model.image_min_size, plan.model.image_max_size)
    masks = boxes.prod(axis=1).sum() if plan.model.masks else 0.0
    return Machine.ask(settings, device, loader=round(min(KEEP_BYTES, masks)), kind="instances")


def with_instance_memory(
    plan: InstancePlan,
    settings: Settings,
    machine: Machine,
    observer: Observer,
    *,
    refit: bool,
    replan: Callable[[float], InstancePlan] | None,
    cache: Path | None,
) -> InstancePlan:
    """Fit batch and frames to the memory, and put the prediction into the plan.

    Args:
        plan: by the rules, or edited.
        settings: the user's wishes.
        machine: as it was before any real step.
        observer: told what does not fit.
        refit: choose frames and batch; False keeps those of a plan that the user edited.
        replan: derives the plan for another memory; None keeps the size of the frames.
        cache: folder that keeps traces.

    Raises:
        PlanError: the batch cannot fit into the memory; names the predicted number and the way out.
    """

    def predict(one: InstancePlan) -> MemoryPrediction:
        return predict_instance_memory(one, allowances=machine.beside, cache=cache)

    if refit:
        plan = _fitted(plan, settings, machine, predict, replan)
        plan = plan.model_copy(
            update={"memory": float(machine.limit), "reasons": {**plan.reasons, "memory": machine.limit_reason}}
        )
    memory = predict(plan)
    refuse_or_warn(memory, settings, machine, observer)
    reasons = {"predicted_memory": memory.describe(), "predicted_tensors": memory.describe_tensors()}
    return plan.model_copy(
        update={
            "predicted_memory": float(memory.process),
            "predicted_tensors": float(memory.tensors),
            "reasons": {**plan.reasons, **reasons},
        }
    )


def _fitted(
    plan: InstancePlan,
    settings: Settings,
    machine: Machine,
    predict: Callable[[InstancePlan], MemoryPrediction],
    replan: Callable[[float], InstancePlan] | None,
) -> InstancePlan:
    """Shrink the frames until two of them fit, then take as many as fit, where the user chose neither."""
    asked = settings.plan.batch_size is not None
    sized = bool(_SIZES & set(settings.model.model_extra or {}))
    wanted, memory = plan.batch_size if asked else LEAST_FRAMES, machine.limit
    if replan is not None and not sized and memory > plan.memory:  # what was assumed is less than there is
        plan = replan(memory)
    for _ in range(MOST_TRIES):
        if replan is None or sized or predict(plan).model.largest_batch(machine.limit) >= wanted:
            break
        memory *= STEP
        try:
            plan = replan(memory)
        except PlanError:
            break  # not even the smallest frame
    if asked:
        return plan
    fits = predict(plan).model.largest_batch(machine.limit)
    return refit_batch(plan, fits, machine.limit, "cuda" if machine.device.type == "cuda" else "cpu")
