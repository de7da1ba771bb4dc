"""Changing a configuration after the rules have made it: what the user sets, and what a short budget asks for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from goodfit.errors import PlanError
from goodfit.planning import wording
from goodfit.planning.configuration_rules import ONE_SIZE, plan_batch_size, plan_configuration
from goodfit.planning.feature_map_budget import network_plan
from goodfit.planning.topology import derive_topology, neighbouring_patches, smallest_patch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goodfit.planning.feature_map_budget import Basis
    from goodfit.planning.plan import Configuration, NetworkPlan

GIVEN = "given on the command line"
FEWEST_FEATURES = 8
"""Channels below which a stage is not shrunk further."""


def override_configuration(
    configuration: Configuration,
    basis: Basis,
    *,
    batch_size: int | None = None,
    patch_size: Sequence[int] | None = None,
    spacing: Sequence[float] | None = None,
    reason: str = GIVEN,
) -> Configuration:
    """Set values of a configuration and derive anew what depends on them.

    A new spacing changes the median shape, patch, network and batch size; a new patch changes the network's
    strides and the batch size; a new batch size changes nothing else. The number of channels stays as it was,
    so a shrunk network stays shrunk.

    Args:
        configuration: as planned; it is not changed.
        basis: what the plan was derived from.
        batch_size: samples per step.
        patch_size: in voxels, two axes for 2d and three otherwise, in the plan's (transposed) order.
        spacing: in mm, three axes, in the plan's order.
        reason: recorded for each given value.

    Returns:
        A new configuration.

    Raises:
        PlanError: a value is out of range, or no strides divide the patch; the message names the nearest patches
            that can be.
    """
    result = configuration.model_copy(deep=True)
    if spacing is not None:
        result = _with_spacing(result, basis, spacing, reason)
    if patch_size is not None:
        result = _with_patch(result, basis, patch_size, reason)
    if batch_size is not None:
        if batch_size < 1:
            raise PlanError(f"batch_size: {batch_size} is no batch. Give at least 1.")
        result.batch_size = batch_size
        result.reasons["batch_size"] = reason
    return result


def shrink_network(configuration: Configuration, factor: int, reason: str) -> Configuration:
    """Divide the channels of every stage by ``factor``, keeping at least 8 (or what there were, if fewer).

    Args:
        configuration: it is not changed.
        factor: 2 halves the channels.
        reason: recorded as the reason of ``features``.
    """
    result = configuration.model_copy(deep=True)
    network = result.network
    network.features = [max(min(FEWEST_FEATURES, count), count // factor) for count in network.features]
    network.reasons["features"] = reason
    return result


def _with_spacing(configuration: Configuration, basis: Basis, spacing: Sequence[float], reason: str) -> Configuration:
    if len(spacing) != 3 or not all(math.isfinite(length) and length > 0 for length in spacing):
        raise PlanError(f"spacing: {list(spacing)} must be three positive lengths in mm, one per axis.")
    shape = [
        max(1, round(edge * old / new))
        for edge, old, new in zip(configuration.median_shape, configuration.spacing, spacing, strict=True)
    ]
    changed = plan_configuration(
        configuration.name,
        spacing=spacing,
        median_shape=shape,
        basis=basis,
        reasons={
            "spacing": reason,
            "median_shape": f"{wording.size(configuration.median_shape)} at "
            f"{wording.millimetres(configuration.spacing)}, resampled to this spacing",
        },
    )
    changed.batch_dice = configuration.batch_dice
    changed.reasons["batch_dice"] = configuration.reasons.get("batch_dice", "as before")
    return _keep_features(changed, configuration.network, basis)


def _with_patch(configuration: Configuration, basis: Basis, patch_size: Sequence[int], reason: str) -> Configuration:
    if len(patch_size) != configuration.dims or min(patch_size) < 1:
        raise PlanError(
            f"patch_size: {list(patch_size)} must be {configuration.dims} positive numbers of voxels for "
            f"{configuration.name}."
        )
    axes = configuration.spacing[-configuration.dims :]
    lower, upper = neighbouring_patches(axes, patch_size)
    if upper != tuple(patch_size):
        near = " or ".join(wording.size(patch) for patch in (lower, upper) if patch is not None)
        raise PlanError(
            f"patch_size: {wording.size(patch_size)} cannot be halved evenly by the network's stages at a spacing of "
            f"{wording.millimetres(axes)}. The nearest patches that can are {near}."
        )
    topology = derive_topology(axes, patch_size)
    if topology.stages == 1:
        least = derive_topology(axes, smallest_patch(axes, patch_size)).patch_size
        raise PlanError(
            f"patch_size: {wording.size(patch_size)} is too small to be halved even once, which a U-Net needs. "
            f"The nearest patch that is large enough is {wording.size(least)}."
        )
    values = configuration.model_dump()
    values["patch_size"], values["growth"] = list(topology.patch_size), []
    values["network"] = network_plan(topology, basis.preset).model_dump()
    values["reasons"]["patch_size"], values["reasons"]["growth"] = reason, ONE_SIZE
    changed = type(configuration).model_validate(values)
    return _keep_features(changed, configuration.network, basis)


def _keep_features(configuration: Configuration, before: NetworkPlan, basis: Basis) -> Configuration:
    """Give a rebuilt network the width of the one before, then the batch size that fits."""
    rebuilt = configuration.network
    if rebuilt.features[0] != before.features[0]:
        topology = derive_topology(configuration.spacing[-configuration.dims :], configuration.patch_size)
        configuration.network = network_plan(topology, basis.preset, before.features[0])
        configuration.network.reasons["features"] = before.reasons.get("features", "as before")
    configuration.network.deep_supervision = before.deep_supervision
    batch = plan_batch_size(configuration, basis)
    configuration.batch_size = batch.size
    configuration.reasons["batch_size"] = batch.reason
    return configuration
