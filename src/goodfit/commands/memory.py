"""Memory in planning: the limit on this machine, the prediction for a plan, the fit to the limit, the refusal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goodfit.errors import PlanError
from goodfit.planning import wording
from goodfit.planning.feature_map_budget import Basis, estimated_memory
from goodfit.planning.machine_memory import allowances_on, available_memory
from goodfit.planning.memory import predict_training_memory
from goodfit.planning.memory_fit import Room, fit_to_memory
from goodfit.tasks.segmentation.sampling import room_for_cases

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

    from goodfit.observer import Observer
    from goodfit.planning.gpu_offset import Kind
    from goodfit.planning.memory import Allowances, MemoryPrediction
    from goodfit.planning.plan import Configuration, Plan
    from goodfit.settings import Settings

STEPS_ON_A_CPU = "on a CPU a step takes as long as it has samples, so no more than nnU-Net's unless --memory is given"
BY_TIME = "the time budget chose the batch"


@dataclass(frozen=True)
class Machine:
    """What a training has here. Made before any real step, whose memory the process keeps.

    Attributes:
        device: where it will run.
        limit: bytes that it may use.
        given: whether the user gave the limit.
        available: bytes that are free for it now.
        beside: what it takes beside its tensors.
    """

    device: torch.device
    limit: float
    given: bool
    available: int
    beside: Allowances

    @property
    def limit_reason(self) -> str:
        """Why the limit is what it is."""
        return "given" if self.given else f"free on this machine ({self.device})"

    @classmethod
    def ask(cls, settings: Settings, device: torch.device, *, loader: int, kind: Kind = "segmentation") -> Machine:
        """Look at the machine, for a training of a kind that keeps ``loader`` bytes of its cases in memory."""
        available, given = available_memory(device), settings.plan.memory
        beside = allowances_on(device, loader=loader, kind=kind)
        return cls(device, given or available, given is not None, available, beside)


def bytes_of_cases(plan: Plan, cases: int) -> int:
    """Bytes of so many cases, decompressed: float32 for each channel, int16 for the label, of the median's size."""
    return round(cases * math.prod(plan.chosen.median_shape) * (4 * len(plan.data.channels) + 2))


def loader_bytes(plan: Plan, cases: int) -> int:
    """Bytes of the cases that the loader keeps decompressed."""
    return min(room_for_cases(plan.memory), bytes_of_cases(plan, cases))


def with_memory(
    plan: Plan, settings: Settings, machine: Machine, observer: Observer, *, refit: bool, cases: int, cache: Path | None
) -> Plan:
    """Fit batch and patch to the memory where the planner is to, and put the prediction into the plan.

    Args:
        plan: with precision and, where there is a time budget, fitted to it.
        settings: the user's wishes.
        machine: as it was before any real step.
        observer: told what does not fit.
        refit: choose batch and patch; False keeps those of a plan that the user edited.
        cases: labelled cases of the dataset.
        cache: folder that keeps traces.

    Raises:
        PlanError: the batch cannot fit into the memory; names the predicted number and the way out.
    """
    basis, predict = _basis(plan, settings, cases), _predictor(plan, machine, cache)
    if plan.planner == "measured":
        if refit:
            fitted = fit_to_memory(plan.chosen, basis, _room(plan, plan.chosen, settings, machine), predict)
            plan = plan.with_chosen(fitted)
        plan = plan.model_copy(
            update={"memory": float(machine.limit), "reasons": {**plan.reasons, "memory": machine.limit_reason}}
        )
    memory = predict(plan.chosen)
    refuse_or_warn(memory, settings, machine, observer, lenient=plan.planner == "nnunet")
    estimate = estimated_memory(plan.chosen, basis)
    reasons = {
        **plan.reasons,
        "predicted_memory": memory.describe(),
        "predicted_tensors": memory.describe_tensors(),
        "estimated_memory": f"nnU-Net's own estimate, for comparison: feature maps against those of a network that trains in "
        f"{wording.gigabytes(basis.preset.memory)}",
    }
    return plan.model_copy(
        update={
            "predicted_memory": float(memory.process),
            "predicted_tensors": float(memory.tensors),
            "estimated_memory": float(round(estimate)),
            "reasons": reasons,
        }
    )


def shrunk_to_memory(
    plan: Plan,
    configuration: Configuration,
    settings: Settings,
    machine: Machine,
    observer: Observer,
    *,
    cases: int,
    cache: Path | None,
) -> Configuration:
    """Give a configuration that fits into the memory, the same where it does: what does not fit cannot be timed.

    Args:
        plan: that the configuration belongs to, with precision.
        configuration: any of the plan.
        settings: the user's wishes.
        machine: as it was before any real step.
        observer: told what does not fit.
        cases: labelled cases of the dataset.
        cache: folder that keeps traces.

    Raises:
        PlanError: it cannot fit; names the predicted number and the way out.
    """
    predict = _predictor(plan, machine, cache)
    if predict(configuration).process <= machine.limit:
        return configuration
    if plan.planner == "measured":
        room = _room(plan, configuration, settings, machine)
        configuration = fit_to_memory(configuration, _basis(plan, settings, cases), room, predict)
    refuse_or_warn(predict(configuration), settings, machine, observer, lenient=plan.planner == "nnunet")
    return configuration


def _predictor(plan: Plan, machine: Machine, cache: Path | None) -> Callable[[Configuration], MemoryPrediction]:
    """Give what predicts the memory of the plan's configurations."""

    def predict(configuration: Configuration) -> MemoryPrediction:
        return predict_training_memory(
            configuration,
            plan.data.input_channels(configuration),
            plan.data.labels.outputs,
            optimizer=plan.training.optimizer,
            precision=plan.training.precision,
            ema=plan.training.ema > 0,
            allowances=machine.beside,
            cache=cache,
        )

    return predict


def _basis(plan: Plan, settings: Settings, cases: int) -> Basis:
    """What nnU-Net's rules rest on, at the memory that they were measured with."""
    asked = settings.plan.network
    residual = asked == "plain" and plan.chosen.network.architecture == "residual_unet"
    return Basis.of(plan.data.labels, cases, None, "resenc" if residual else asked)


def _room(plan: Plan, configuration: Configuration, settings: Settings, machine: Machine) -> Room:
    """Say what the fit may change of a configuration of the plan."""
    wishes, timed = settings.plan, plan.budget.time is not None
    grows = not timed and (machine.given or machine.device.type == "cuda")
    return Room(
        limit=machine.limit,
        batch_given=wishes.batch_size is not None,
        patch_given=wishes.patch_size is not None,
        most=None if grows else configuration.batch_size,
        most_reason=BY_TIME if timed else STEPS_ON_A_CPU,
        patch_grows=grows and machine.given,
    )


def refuse_or_warn(
    memory: MemoryPrediction, settings: Settings, machine: Machine, observer: Observer, *, lenient: bool = False
) -> None:
    """Refuse what cannot fit, unless the user insists; say what is doubtful.

    Args:
        memory: the prediction.
        settings: whether --force is given.
        machine: the limit.
        observer: told what is doubtful.
        lenient: only warn of a batch above a given limit that would fit here: nnU-Net's estimate chose it.

    Raises:
        PlanError: the batch does not fit.
    """
    try:
        memory.refuse_if_too_large(max(machine.limit, machine.available) if lenient else machine.limit)
    except PlanError as error:
        if not settings.machine.force:
            raise
        observer.note(f"warning: tried all the same, since --force is given. {error}")
        return
    if memory.process > machine.limit:
        observer.note(
            f"warning: {memory.describe()}, more than the {wording.gigabytes(machine.limit)} asked for: the rules of "
            "the planner nnunet estimate memory from feature maps alone. A smaller --batch-size needs less."
        )
    elif memory.process > machine.available:
        observer.note(
            f"warning: {memory.describe()}. That is within the memory given, but only "
            f"{wording.gigabytes(machine.available)} are free here now."
        )
