"""nnU-Net's default augmentation as batched tensor code, with drawing separate from applying.

``settings`` derives ranges and probabilities from a configuration, ``draw`` makes recordable parameters out of
them, ``pipeline.apply`` carries those out on a batch, on whatever device it lies.
"""

from goodfit.tasks.segmentation.augmentation.draw import Noise, Parameters, SampleParameters, draw
from goodfit.tasks.segmentation.augmentation.pipeline import apply
from goodfit.tasks.segmentation.augmentation.settings import AugmentationSettings, augmentation_settings

__all__ = [
    "AugmentationSettings",
    "Noise",
    "Parameters",
    "SampleParameters",
    "apply",
    "augmentation_settings",
    "draw",
]
