"""Which configuration to train when the user names none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from goodfit.errors import PlanError
from goodfit.planning import wording

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goodfit.planning.plan import Configuration, ConfigurationName

FEWEST_SLICES = 5
"""A 3d patch with fewer slices has next to no context along them: 3x3x3 kernels see mostly padding."""


class ConfigurationChoice(NamedTuple):
    """The configuration to train and why."""

    name: ConfigurationName
    reason: str


def choose_configuration(
    configurations: Mapping[ConfigurationName, Configuration], wanted: str | None = None, why_no_lowres: str = ""
) -> ConfigurationChoice:
    """Take 3d_fullres, unless the data is 2D or the 3d patch has fewer than five slices.

    Args:
        configurations: those of the plan.
        wanted: what the user asked for, or None.
        why_no_lowres: what the planner says of the low-resolution configuration, and so of the cascade.

    Raises:
        PlanError: the plan has no configuration ``wanted``.
    """
    fullres = configurations.get("3d_fullres")
    if wanted is not None:
        for name in configurations:
            if name == wanted:
                return ConfigurationChoice(name, "asked for")
        why = "the data is 2D" if fullres is None else why_no_lowres
        raise PlanError(
            f"configuration: there is no {wanted} for this dataset{f' ({why})' if why else ''}. Choose one of: "
            f"{', '.join(configurations)}."
        )
    if fullres is None:
        return ConfigurationChoice("2d", "the data is 2D")
    slices = min(fullres.patch_size)
    if slices < FEWEST_SLICES:
        return ConfigurationChoice(
            "2d",
            f"a 3d patch ({wording.size(fullres.patch_size)}) would have only {slices} slices: too little context "
            "for a third dimension",
        )
    return ConfigurationChoice(
        "3d_fullres", f"the data is 3D, and a patch of {wording.size(fullres.patch_size)} sees context along all axes"
    )
