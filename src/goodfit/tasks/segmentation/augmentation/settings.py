"""What may happen to a training patch: ranges and probabilities, derived from a configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from goodfit.tasks.segmentation.augmentation.previous_stage import PreviousStageSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goodfit.planning.plan import Configuration

ANISOTROPY_THRESHOLD = 3
"""A 3D patch is augmented in-plane when its largest axis exceeds its first by more (nnU-Net: ANISO_THRESHOLD)."""

ELONGATION_2D = 1.5
"""A 2D patch longer than this in one axis is rotated only a little (nnU-Net)."""

SMALLEST_SCALE_FOR_MARGIN = 0.85
"""nnU-Net sizes the initial patch for this zoom, although it draws scales from 0.7 to 1.4."""


@dataclass(frozen=True)
class AugmentationSettings:
    """Ranges (low, high) and probabilities of each transform; the defaults are nnU-Net's (nnUNetTrainer 2.8.1).

    Attributes:
        patch_size: what the network gets, 2 or 3 axes.
        initial_patch_size: the larger crop that rotated and scaled patches are sampled from.
        rotation: angle of each rotation axis in radians.
        in_plane: leave the first axis of a 3D patch alone when rotating, scaling and lowering the resolution.
        mirror_axes: spatial axes that may be flipped.
        masked_channels: channels set to 0 where the label is -1 (normalised inside the nonzero mask only).
        p_rotation: probability per sample.
        p_scaling: probability per sample.
        scaling: distance between sampled points in voxels; above 1 the objects get smaller.
        p_noise: probability per sample.
        noise: standard deviation of the noise. nnU-Net calls this range a variance and uses it as a deviation.
        p_blur: probability per sample.
        p_blur_channel: probability per channel of a blurred sample.
        blur: standard deviation of the Gaussian in voxels, one per channel and axis.
        p_brightness: probability per sample.
        brightness: factor per channel.
        p_contrast: probability per sample.
        contrast: factor per channel on the distance from the channel's mean; the range of values is kept.
        p_low_resolution: probability per sample.
        p_low_resolution_channel: probability per channel of a chosen sample.
        low_resolution: share of the voxels kept along each axis.
        p_gamma_inverted: probability per sample of a gamma on the inverted intensities.
        p_gamma: probability per sample.
        gamma: exponent per channel; mean and standard deviation are kept.
        p_mirror: probability per axis.
        previous: of a cascade, what may happen to the previous stage's labels; None where there is no such stage.
    """

    patch_size: tuple[int, ...]
    initial_patch_size: tuple[int, ...]
    rotation: tuple[float, float]
    in_plane: bool
    mirror_axes: tuple[int, ...]
    masked_channels: tuple[int, ...] = ()
    p_rotation: float = 0.2
    p_scaling: float = 0.2
    scaling: tuple[float, float] = (0.7, 1.4)
    p_noise: float = 0.1
    noise: tuple[float, float] = (0.0, 0.1)
    p_blur: float = 0.2
    p_blur_channel: float = 0.5
    blur: tuple[float, float] = (0.5, 1.0)
    p_brightness: float = 0.15
    brightness: tuple[float, float] = (0.75, 1.25)
    p_contrast: float = 0.15
    contrast: tuple[float, float] = (0.75, 1.25)
    p_low_resolution: float = 0.25
    p_low_resolution_channel: float = 0.5
    low_resolution: tuple[float, float] = (0.5, 1.0)
    p_gamma_inverted: float = 0.1
    p_gamma: float = 0.3
    gamma: tuple[float, float] = (0.7, 1.5)
    p_mirror: float = 0.5
    previous: PreviousStageSettings | None = None

    @property
    def dims(self) -> int:
        """Number of spatial axes of the patch."""
        return len(self.patch_size)


def augmentation_settings(
    configuration: Configuration, use_mask: Sequence[bool] = (), label_values: Sequence[int] = ()
) -> AugmentationSettings:
    """Derive the settings of a configuration by nnU-Net's rules.

    Args:
        configuration: gives the patch size.
        use_mask: per channel, whether it was normalised inside the nonzero mask only (``plan.data.use_mask``).
        label_values: every foreground label value (``Labels.foreground_values``); needed for a cascade.
    """
    patch = tuple(configuration.patch_size)
    in_plane = len(patch) == 3 and max(patch) / patch[0] > ANISOTROPY_THRESHOLD
    if in_plane:
        largest_angle = 180.0
    elif len(patch) == 3:
        largest_angle = 30.0
    else:
        largest_angle = 15.0 if max(patch) / min(patch) > ELONGATION_2D else 180.0
    angle = math.radians(largest_angle)
    return AugmentationSettings(
        patch_size=patch,
        initial_patch_size=initial_patch_size(patch, angle, in_plane=in_plane),
        rotation=(-angle, angle),
        in_plane=in_plane,
        mirror_axes=configuration.mirrored,
        masked_channels=tuple(channel for channel, masked in enumerate(use_mask) if masked),
        previous=None if configuration.previous_stage is None else PreviousStageSettings(tuple(label_values)),
    )


def initial_patch_size(patch: tuple[int, ...], largest_angle: float, *, in_plane: bool) -> tuple[int, ...]:
    """Size of the crop in which a rotated patch mostly fits (nnU-Net: get_patch_size).

    The corner of the patch is turned about one axis at a time by the largest angle, at most 90 degrees; each
    axis gets the largest absolute coordinate seen, divided by 0.85, rounded down. With ``in_plane`` the first
    axis keeps the patch's size.
    """
    angle = min(math.pi / 2, largest_angle)
    corner = np.array(patch, dtype=np.float64)
    extent = corner.copy()
    # About which axes pairs turn, and which way, matters: nnU-Net looks at one corner only.
    planes = [(0, 1)] if len(patch) == 2 else [(1, 2), (2, 0), (0, 1)]
    for first, second in planes:
        turned = corner.copy()
        turned[first] = corner[first] * math.cos(angle) + corner[second] * math.sin(angle)
        turned[second] = corner[second] * math.cos(angle) - corner[first] * math.sin(angle)
        extent = np.maximum(extent, np.abs(turned))
    size = [int(length / SMALLEST_SCALE_FOR_MARGIN) for length in extent]
    if in_plane:
        size[0] = patch[0]
    return tuple(size)
