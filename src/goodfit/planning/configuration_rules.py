"""One configuration from spacing, median shape and memory: patch, network, batch size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goodfit.errors import PlanError
from goodfit.planning import wording
from goodfit.planning.batch_size import MIN_BATCH, BatchSize, choose_batch_size
from goodfit.planning.feature_map_budget import REFERENCE_BATCH, Basis, feature_map_values, network_plan
from goodfit.planning.patch import INITIAL_EDGE, initial_patch, reduced
from goodfit.planning.plan import Configuration
from goodfit.planning.topology import derive_topology, smallest_patch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goodfit.planning.plan import ConfigurationName, NetworkPlan
    from goodfit.planning.topology import Topology


ONE_SIZE = (
    "patches have one size; with --time smaller ones come first where that makes more steps (plan.growth=off: never)"
)
"""Reason of a configuration without growth, as every configuration is planned."""


@dataclass(frozen=True)
class FittedPatch:
    """The largest patch whose network fits the budget.

    Attributes:
        topology: patch, strides, kernels.
        network: the network of that topology.
            reason: how the patch came about.
    """

    topology: Topology
    network: NetworkPlan
    reason: str


def fit_patch(
    spacing: Sequence[float], median_shape: Sequence[float], basis: Basis, *, runnable: bool = True
) -> FittedPatch:
    """Start from ``initial_patch`` and shrink until enough samples fit the budget.

    Args:
        spacing: target spacing along the axes of the patch (two or three).
        median_shape: median of the resampled cases along the same axes.
        basis: network family, memory and outputs.
        runnable: enlarge a patch that is too short to be halved, as it needs to be for a network that can run.

    Raises:
        PlanError: not even the smallest patch fits into the memory.
    """
    dims = len(spacing)
    start = initial_patch(spacing, median_shape)
    topology = derive_topology(spacing, start)
    edge = INITIAL_EDGE[dims]
    reason = f"1 / spacing as large as {wording.size([edge] * dims)}, cut to the median shape: {wording.size(start)}"
    if topology.stages == 1 and runnable:
        topology = derive_topology(spacing, smallest_patch(spacing, start))
        reason += "; enlarged, since a U-Net must halve it at least once"
    reason += f"; rounded up to {wording.size(topology.patch_size)}, which the strides divide"
    reductions = 0
    budget, fitting = basis.budget(dims), basis.preset.fitting_batch[dims]
    while True:
        network = network_plan(topology, basis.preset)
        values = feature_map_values(network, topology.patch_size, basis.outputs)
        if values / REFERENCE_BATCH[dims] * fitting <= budget:
            break
        smaller = reduced(topology, spacing, median_shape)
        if smaller is None:
            needed = values / REFERENCE_BATCH[dims] * fitting / budget * basis.memory
            raise PlanError(
                f"memory: {wording.gigabytes(basis.memory)} are too little for the smallest {dims}d patch "
                f"({wording.size(topology.patch_size)}), which needs {wording.gigabytes(needed)}. Allow more memory."
            )
        topology = smaller
        reductions += 1
    if reductions:
        reason += (
            f"; shortened in {wording.counted(reductions, 'step')} along the axis that covers most of the median shape, until "
            f"the feature maps of {fitting} patches fit into {wording.gigabytes(basis.memory)}"
        )
    else:
        reason += "; it fits at once"
    return FittedPatch(topology, network, reason)


def plan_batch_size(configuration: Configuration, basis: Basis, dataset_voxels: float | None = None) -> BatchSize:
    """Derive the batch size of a configuration's patch and network.

    Args:
        configuration: its own batch size is not looked at.
        basis: memory, outputs and number of cases.
        dataset_voxels: voxels of all cases after resampling; None takes the median shape times the cases.
    """
    dims = configuration.dims
    if dataset_voxels is None:
        dataset_voxels = math.prod(configuration.median_shape) * basis.cases
    return choose_batch_size(
        values=feature_map_values(configuration.network, configuration.patch_size, basis.outputs),
        budget=basis.budget(dims),
        reference_batch=REFERENCE_BATCH[dims],
        memory=basis.memory,
        patch_voxels=math.prod(configuration.patch_size),
        dataset_voxels=dataset_voxels,
        largest_share=basis.preset.largest_share,
    )


def plan_configuration(
    name: ConfigurationName,
    *,
    spacing: Sequence[float],
    median_shape: Sequence[float],
    basis: Basis,
    reasons: dict[str, str],
    dataset_voxels: float | None = None,
) -> Configuration:
    """Derive a whole configuration; 2d takes the last two axes.

    Args:
        name: which configuration.
        spacing: target spacing, three axes, transposed order, in mm.
        median_shape: median of the resampled cases, three axes, transposed order.
        basis: network family, memory, outputs, number of cases.
        reasons: why spacing and median shape are so; the other reasons are added.
        dataset_voxels: voxels of all cases after resampling; None takes the median shape times the cases.

    Raises:
        PlanError: the memory is too small for any patch.
    """
    axes = slice(1, None) if name == "2d" else slice(None)
    fitted = fit_patch(spacing[axes], median_shape[axes], basis)
    configuration = Configuration(
        name=name,
        spacing=list(spacing),
        median_shape=list(median_shape),
        patch_size=list(fitted.topology.patch_size),
        batch_size=MIN_BATCH,
        batch_dice=name == "2d",
        network=fitted.network,
        reasons={
            **reasons,
            "patch_size": fitted.reason,
            "growth": ONE_SIZE,
            "batch_dice": "always for 2d" if name == "2d" else "not for 3d without a low-resolution stage",
        },
    )
    batch = plan_batch_size(configuration, basis, dataset_voxels)
    configuration.batch_size = batch.size
    configuration.reasons["batch_size"] = batch.reason
    return configuration
