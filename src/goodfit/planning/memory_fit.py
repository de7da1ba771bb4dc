"""Fitting batch and patch of a configuration to a memory, by the predicted peak of its training.

nnU-Net's rules decide patch and batch for the memory that they were measured with. The prediction then decides what of
that fits here: the batch first; the patch shrinks where not even two samples fit, and grows where more memory than
nnU-Net's is given.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from goodfit.errors import PlanError
from goodfit.planning import wording
from goodfit.planning.batch_size import MIN_BATCH, allowed_batch, choose_measured_batch
from goodfit.planning.configuration_rules import fit_patch, plan_batch_size
from goodfit.planning.override import override_configuration

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.planning.feature_map_budget import Basis
    from goodfit.planning.memory import MemoryPrediction
    from goodfit.planning.plan import Configuration

    Predict = Callable[[Configuration], MemoryPrediction]

logger = logging.getLogger(__name__)

STEP = 0.93
"""Factor by which the memory that nnU-Net's rule is asked with falls until the prediction agrees."""
MOST_TRIES = 8


@dataclass(frozen=True)
class Room:
    """What the fit may do.

    Attributes:
        limit: bytes that the training may use.
        batch_given: the user chose the batch.
        patch_given: the user chose the patch.
        most: largest batch, or None for as many as fit.
        most_reason: why no more.
        patch_grows: the patch may be larger than nnU-Net's.
    """

    limit: float
    batch_given: bool = False
    patch_given: bool = False
    most: int | None = None
    most_reason: str = ""
    patch_grows: bool = False


def fit_to_memory(planned: Configuration, basis: Basis, room: Room, predict: Predict) -> Configuration:
    """Give the configuration with the largest batch, and patch, whose predicted memory stays within the limit.

    Where nothing fits the smallest patch that was tried comes back, with a batch of two: it is to be refused.

    Args:
        planned: by nnU-Net's rules, for the memory of ``basis``.
        basis: what it was derived from.
        room: what may be changed.
        predict: gives the prediction for a configuration; it takes seconds for one that is new.
    """
    wanted = planned.batch_size if room.batch_given else MIN_BATCH
    fitted = planned
    if not room.patch_given:
        fits = predict(planned).model.largest_batch(room.limit)
        if fits < wanted:
            fitted = _with_patch_for(planned, basis, room, predict, wanted, grows=False)
        elif room.patch_grows and room.limit > basis.memory:
            fitted = _with_patch_for(planned, basis, room, predict, wanted, grows=True)
    if room.batch_given:
        return _with_batch(fitted, planned.batch_size, planned.reasons.get("batch_size", ""))
    limit = wording.gigabytes(room.limit)
    fits = predict(fitted).model.largest_batch(room.limit)
    if room.most is not None and planned.batch_size <= min(fits, room.most) and fitted is planned:
        before = planned.reasons.get("batch_size", "")
        more = f"; {room.most_reason}" if fits > room.most else ""
        return _with_batch(planned, planned.batch_size, f"{before}; {fits} are predicted to fit into {limit}{more}")
    share = basis.preset.largest_share
    allowed = allowed_batch(math.prod(fitted.patch_size), math.prod(fitted.median_shape) * basis.cases, share)
    chosen = choose_measured_batch(
        fits=fits, memory=limit, allowed=allowed, largest_share=share, most=room.most, most_reason=room.most_reason
    )
    by_rule = f"nnU-Net's rule for {wording.gigabytes(basis.memory)}: {plan_batch_size(fitted, basis).size}"
    return _with_batch(fitted, chosen.size, f"{chosen.reason} ({by_rule})")


def _with_patch_for(
    planned: Configuration, basis: Basis, room: Room, predict: Predict, batch: int, *, grows: bool
) -> Configuration:
    """Give the configuration with the patch that nnU-Net's rule makes for another memory, such that ``batch`` fits."""
    prediction = predict(planned)
    allowances = prediction.model.allowances
    for_tensors = (room.limit - allowances.fixed) / allowances.share
    # nnU-Net's count of feature maps is in proportion to the patch, and so, nearly, are the traced bytes.
    memory = basis.memory * for_tensors / prediction.model.tensors(batch)
    smallest = planned
    for _ in range(MOST_TRIES):
        if memory <= 0 or (grows and memory <= basis.memory):
            break
        try:
            patch = fit_patch(*_axes(planned), replace(basis, memory=memory)).topology.patch_size
        except PlanError:
            break  # not even the rule's smallest patch is small enough
        if (math.prod(patch) > math.prod(planned.patch_size)) == grows and list(patch) != planned.patch_size:
            reason = _patch_reason(planned, basis, room, batch, grows=grows)
            smallest = override_configuration(planned, basis, patch_size=patch, reason=reason)
            logger.info("trying a patch of %s for %s", wording.size(patch), wording.gigabytes(room.limit))
            if predict(smallest).model.largest_batch(room.limit) >= batch:
                return smallest
        memory *= STEP
    return planned if grows else smallest


def _axes(planned: Configuration) -> tuple[list[float], list[float]]:
    return planned.spacing[-planned.dims :], planned.median_shape[-planned.dims :]


def _patch_reason(planned: Configuration, basis: Basis, room: Room, batch: int, *, grows: bool) -> str:
    change = "grown" if grows else "shrunk"
    return (
        f"{planned.reasons.get('patch_size', '')}; {change} from {wording.size(planned.patch_size)}, nnU-Net's for "
        f"{wording.gigabytes(basis.memory)}: the predicted memory of {wording.counted(batch, 'sample')} "
        f"{'fits' if grows else 'is to fit'} into {wording.gigabytes(room.limit)}"
    )


def _with_batch(configuration: Configuration, size: int, reason: str) -> Configuration:
    result = configuration.model_copy(deep=True)
    result.batch_size = size
    result.reasons["batch_size"] = reason
    return result
