"""Carrying out drawn parameters on a batch, in nnU-Net's order of transforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from goodfit.tasks.segmentation.augmentation import intensity, previous_stage, spatial
from goodfit.tasks.segmentation.cascade.one_hot import append_previous

if TYPE_CHECKING:
    from torch import Tensor

    from goodfit.tasks.segmentation.augmentation.draw import Parameters


def apply(images: Tensor, labels: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
    """Augment a batch on the device it lies on; the inputs stay as they are.

    The result is a function of the arguments alone (noise is seeded per sample; a GPU makes other noise from
    a seed than the CPU does).

    Args:
        images: (B, C, *initial) float32.
        labels: (B, 1, *initial) int16; -1 marks voxels outside the image or its nonzero mask. Of a cascade
            (B, 2, *initial): the second channel is what the previous stage predicted.
        parameters: as :func:`goodfit.tasks.segmentation.augmentation.draw.draw` made them, B samples.

    Returns:
        Images (B, C, *patch) float32 and labels (B, 1, *patch) int16, where -1 has become 0. Of a cascade the images
        have a further channel for each label value of the previous stage.
    """
    assert len(parameters.samples) == len(images) == len(labels)
    samples = parameters.samples
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        images, labels = spatial.take_patches(images, labels, parameters)
        intensity.add_noise(images, [sample.noise for sample in samples])
        intensity.blur(images, [sample.blur for sample in samples])
        intensity.scale_brightness(images, [sample.brightness for sample in samples])
        intensity.scale_contrast(images, [sample.contrast for sample in samples])
        intensity.lower_resolution(images, [sample.low_resolution for sample in samples], in_plane=parameters.in_plane)
        intensity.apply_gamma(images, [sample.gamma_inverted for sample in samples], inverted=True)
        intensity.apply_gamma(images, [sample.gamma for sample in samples], inverted=False)
        spatial.mirror(images, labels, samples)
        if parameters.masked_channels:
            outside = labels[:, 0] < 0
            for channel in parameters.masked_channels:
                images[:, channel].masked_fill_(outside, 0)
        # -1, the only negative label, becomes background
        labels.clamp_(min=0)
        if parameters.previous_values:
            channels = images.shape[1]
            images, labels = append_previous(images, labels, parameters.previous_values)
            previous_stage.disturb(images[:, channels:], [sample.previous for sample in samples])
    return images, labels
