"""Disturbing what a cascade's previous stage predicted, so that the next stage does not simply copy it.

nnU-Net: ApplyRandomBinaryOperatorTransform, then RemoveRandomConnectedComponentFromOneHotEncodingTransform, on the
one-hot channels of patches that have been rotated, scaled and mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from goodfit.tasks.segmentation.augmentation.morphology import OPERATIONS, Operation, morph

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt
    from torch import Tensor

_NEIGHBOURS = 26


@dataclass(frozen=True)
class PreviousStageSettings:
    """Probabilities and ranges; the defaults are nnU-Net's (nnUNetTrainer 2.8.1).

    Attributes:
        values: label values that are input channels, in order.
        p_morphology: probability per sample of a morphological operation, each of the four as likely.
        p_morphology_label: probability per label of a chosen sample.
        radius: of the ball in voxels.
        p_removal: probability per sample of removing a connected component.
        p_removal_label: probability per label of a chosen sample.
        largest_removed: a component of at least this share of the patch stays.
    """

    values: tuple[int, ...]
    p_morphology: float = 0.4
    p_morphology_label: float = 0.5
    radius: tuple[float, float] = (1.0, 8.0)
    p_removal: float = 0.2
    p_removal_label: float = 0.5
    largest_removed: float = 0.15

    @property
    def numbers(self) -> int:
        """How many uniform numbers ``draw_previous`` takes for a sample."""
        return 2 + 7 * len(self.values)


@dataclass(frozen=True)
class Morphology:
    """One operation on one channel."""

    channel: int
    operation: Operation
    radius: float


@dataclass(frozen=True)
class Removal:
    """One component of one channel goes: the one at the share ``pick``, in [0, 1), of those that may."""

    channel: int
    pick: float


@dataclass(frozen=True)
class PreviousStageParameters:
    """What happens to one sample, in this order.

    Attributes:
        morphology: operations.
        removals: components to remove.
        largest_removed: a component of at least this share of the patch stays.
    """

    morphology: tuple[Morphology, ...]
    removals: tuple[Removal, ...]
    largest_removed: float

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> PreviousStageParameters:
        """Undo ``dataclasses.asdict``."""
        return cls(
            tuple(Morphology(**entry) for entry in value["morphology"]),
            tuple(Removal(**entry) for entry in value["removals"]),
            value["largest_removed"],
        )


def draw_previous(settings: PreviousStageSettings, uniforms: Sequence[float]) -> PreviousStageParameters | None:
    """Draw what happens to one sample; None where nothing does.

    Args:
        settings: probabilities and ranges.
        uniforms: ``settings.numbers`` numbers in [0, 1).
    """
    count = len(settings.values)
    numbers = iter(uniforms)

    def take() -> list[float]:
        return [next(numbers) for _ in range(count)]

    def chosen(probability: float, per_label: float) -> list[int]:
        """The channels that are changed, in random order (nnU-Net: one may take voxels from another)."""
        happens, order, selected = next(numbers) < probability, take(), take()
        channels = sorted(range(count), key=order.__getitem__)
        return [channel for channel in channels if happens and selected[channel] < per_label]

    changed = chosen(settings.p_morphology, settings.p_morphology_label)
    operations, radii = take(), take()
    low, high = settings.radius
    morphology = tuple(
        Morphology(channel, OPERATIONS[int(operations[channel] * len(OPERATIONS))], low + radii[channel] * (high - low))
        for channel in changed
    )
    emptied = chosen(settings.p_removal, settings.p_removal_label)
    picks = take()
    removals = tuple(Removal(channel, picks[channel]) for channel in emptied)
    if not morphology and not removals:
        return None
    return PreviousStageParameters(morphology, removals, settings.largest_removed)


def disturb(channels: Tensor, samples: Sequence[PreviousStageParameters | None]) -> None:
    """Carry out what was drawn, in place.

    Args:
        channels: (B, L, Z, Y, X) of zeros and ones, a channel per label value; may be a view.
        samples: one entry per sample.
    """
    for sample, parameters in zip(channels, samples, strict=True):
        if parameters is None:
            continue
        for step in parameters.morphology:
            _morph_channel(sample, step)
        for removal in parameters.removals:
            _remove_component(sample[removal.channel], removal.pick, parameters.largest_removed)


def _morph_channel(sample: Tensor, step: Morphology) -> None:
    """Change one channel; voxels that it gains leave every other one (nnU-Net)."""
    before = sample[step.channel] > 0
    after = morph(before, step.operation, step.radius)
    gained = after & ~before
    for channel in range(len(sample)):
        if channel != step.channel:
            sample[channel].masked_fill_(gained, 0)
    sample[step.channel] = after.to(sample.dtype)


def _remove_component(channel: Tensor, pick: float, largest: float) -> None:
    import cc3d

    # Components are found on the CPU, whose library has the only fast way; it concerns one channel in ten samples.
    components = cc3d.connected_components((channel > 0).cpu().numpy(), connectivity=_NEIGHBOURS)
    removable = list(_smaller_than(components, largest * components.size))
    if removable:
        gone = components == removable[int(pick * len(removable))]
        channel.masked_fill_(torch.from_numpy(gone).to(channel.device), 0)


def _smaller_than(components: npt.NDArray[np.integer], voxels: float) -> Iterator[int]:
    """Numbers of the components that have fewer voxels, in the order in which they are met."""
    for number, size in enumerate(np.bincount(components.reshape(-1))[1:].tolist(), start=1):
        if 0 < size < voxels:
            yield number
