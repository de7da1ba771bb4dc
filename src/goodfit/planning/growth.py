"""Patches that grow during a short training: small ones first, which buy several steps for the price of one.

Source of the idea: Fischer et al., "Progressive Growing of Patch Size", arXiv 2510.23241. docs/log.md has the trials.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from goodfit.planning.plan import PatchStage
from goodfit.planning.time_budget import OVERHEAD, epoch_length

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.planning.plan import Configuration
    from goodfit.planning.time_budget import FittedBudget

STAGES = ((0.4, 0.10), (0.6, 0.15))
"""Of each stage: its edges as a share of the patch's, and its share of the training time."""
LARGEST = 0.5
"""Voxels of a stage's patch as a share of the patch's above which it is not worth a stage."""
CHEAPER = 0.75
"""Time of a stage's step as a share of a whole one's above which it is not worth a stage: all overhead."""
LARGER_BATCH = 2
"""A small patch says less, so a step takes so many times the samples."""


def small_patches(configuration: Configuration) -> list[tuple[tuple[int, ...], float]]:
    """Give the patches of the stages, smallest first, each with its share of the time.

    Edges are multiples of what the strides divide by, at least twice that: the coarsest feature map keeps two values
    along each axis, since an instance norm of a single value is no norm. Stages that come out alike are one.
    """
    patch = configuration.patch_size
    divisors = [math.prod(stride[axis] for stride in configuration.network.strides) for axis in range(len(patch))]
    found: dict[tuple[int, ...], float] = {}
    for share, time in STAGES:
        edges = tuple(
            min(edge, max(2 * divisor, divisor * round(share * edge / divisor)))
            for edge, divisor in zip(patch, divisors, strict=True)
        )
        if math.prod(edges) <= LARGEST * math.prod(patch):
            found[edges] = found.get(edges, 0.0) + time
    return list(found.items())


def grow(
    fitted: FittedBudget,
    training_seconds: float,
    measure: Callable[[Configuration], float],
    steps_per_epoch: int | None = None,
) -> FittedBudget:
    """Let a training that is fitted to a time begin with small patches; as it was where there is no use for them.

    Stages end with an epoch, whose length follows from the larger number of steps unless it is given.

    Args:
        fitted: what was chosen for the time.
        training_seconds: time for steps and validation.
        measure: gives the seconds of one bare step of a configuration on this machine.
        steps_per_epoch: set when the user chose it.
    """
    configuration = fitted.configuration
    wanted: list[tuple[PatchStage, float, int]] = []
    whole = training_seconds
    for patch, share in small_patches(configuration):
        batch = LARGER_BATCH * configuration.batch_size
        stage = PatchStage(until_step=1, patch_size=list(patch), batch_size=batch)
        seconds = measure(configuration.cut_as(stage)) * OVERHEAD
        if seconds > CHEAPER * fitted.seconds_per_step:
            continue
        wanted.append((stage, seconds, math.floor(share * training_seconds / seconds)))
        whole -= share * training_seconds
    last = math.floor(whole / fitted.seconds_per_step)
    length = steps_per_epoch or epoch_length(last + sum(steps for _, _, steps in wanted))
    stages: list[PatchStage] = []
    until, said = 0, []
    for stage, seconds, steps in wanted:
        rounded = length * round(steps / length)
        if rounded:
            until += rounded
            stages.append(stage.model_copy(update={"until_step": until}))
            said.append(f"{stages[-1]} ({seconds:.3f} s a step)")
    if not stages:
        return fitted
    reason = (
        f"small patches first, for {1 - whole / training_seconds:.0%} of the time: {', then '.join(said)}; "
        "--set plan.growth=off trains without"
    )
    grown = configuration.model_copy(update={"growth": stages, "reasons": {**configuration.reasons, "growth": reason}})
    return replace(fitted, configuration=grown, steps=until + last, steps_per_epoch=length)
